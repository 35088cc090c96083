"""Short forms of the serving benchmarks: from end to end, nothing fails, the figures are there."""

from __future__ import annotations

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.freshness.measure import STAGES
from benchmarks.freshness.measure import measure as measure_freshness
from benchmarks.freshness.plot import draw as draw_freshness
from benchmarks.freshness.report import quantile
from benchmarks.serve_load.measure import measure as measure_load
from benchmarks.serve_load.plot import draw as draw_load
from benchmarks.serve_load.report import figures as load_figures
from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.contracts.settings import load_settings
from everfresh.infra.supervisor import Supervisor

pytestmark = pytest.mark.integration


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk makes the load; CI installs it")
def test_serve_load_answers_every_request_with_the_cache_and_without(tmp_path: Path) -> None:
    warm, cold = measure_load(users=10, seconds=1.0, repeats=1)
    figures = {**load_figures(warm, ""), **load_figures(cold, "uncached_")}
    assert figures["failed"] == figures["uncached_failed"] == 0
    for name in ("requests_per_s", "ratio_vs_echo", "cpu_ratio_vs_echo", "p99_ms", "cpu_ms"):
        for prefix in ("", "score_", "uncached_", "uncached_score_"):
            assert figures[prefix + name] > 0, prefix + name
    draw_load({"warm": warm, "cold": cold}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_freshness_follows_events_through_every_stage(tmp_path: Path) -> None:
    # In a process of its own: a supervisor ends all that is below it, the other tests' broker too.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        samples, figures = apart.submit(_loop, tmp_path / "home").result()
    assert figures["failed"] == 0
    assert figures["requests"] > 0
    assert figures["probes"] > 0
    assert figures["windows"] > 0
    for stage in STAGES:
        assert samples[stage], stage
    # A window is closed after it was accepted, and live after it was trained: parts of one whole.
    for share in (0.5, 0.99):
        whole = quantile(samples["whole"], share)
        assert whole >= max(quantile(samples[s], share) for s in ("closed", "trained"))
    draw_freshness(samples, 300.0, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def _loop(home: Path) -> tuple[Any, Any]:
    settings = load_settings(
        {"home": home, "windows": {"seconds": 1}, "serving": {"timeout_ms": 30_000}}
    )
    with Supervisor(settings, Interrupts(), lambda _: None) as run:
        run.start()
        return measure_freshness(run, 300.0, 3_600)
