"""The study ``following`` over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies import following
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "SHORT", (4_000, [400]))
    monkeypatch.setattr(following, "TAIL", 800)
    figures = short_run(following.main, tmp_path)
    assert figures.keys() >= {"us_per_event_worker", "us_per_event_follower", "snapshot_s_400"}
