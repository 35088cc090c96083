"""Benchmarks that no other test runs: their short forms, over little, give all their figures."""

from __future__ import annotations

import importlib
import json
import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

NAMES = {
    "deltas": ["whole_mb_2000_0.01", "ratio_8000_0.01", "delta_s_8000_0.01_int8"],
    "topk": ["exact_float32_2000_p50_ms", "faiss_hnsw_2000_recall"],
    "user_cache": ["hit_ms_20", "extend_ratio_longest", "network_batched_ms"],
    "short_rows": ["hr10_float32", "same_rank_bf16", "same_rank_int8"],
    "gate": ["usual_held", "random_clock_held", "hr10_before", "hr10_lowest"],
    "push": ["mb", "put_s", "handed_over_s", "live_s"],
}
"""Benchmark -> some of its figures."""


class NoRay:
    """Actors of this process, which answer at once."""

    init = shutdown = staticmethod(lambda **options: None)
    put = get = staticmethod(lambda value: value)

    @staticmethod
    def remote(**options: Any) -> Any:
        return lambda kind: SimpleNamespace(remote=lambda *args: Actor(kind(*args)))


class Actor:
    def __init__(self, made: object) -> None:
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=getattr(self._made, name))


SMALLER: dict[str, dict[str, Any]] = {
    "deltas": {"SIZES": (2_000, 8_000, 8_000)},
    "topk": {"SIZES": (2_000,), "CLUSTERS": 50},
    "user_cache": {"ITEMS": 500, "LENGTHS": (20, 40)},
    "short_rows": {"EVENTS": 40},
    "gate": {"EVENTS": 100},
    "push": {"ITEMS": 20_000, "ray": NoRay},
}


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    """Thirty users walk up sixty films, so that there is something to learn."""
    rng, path = random.Random(1), tmp_path / "u.data"
    last = {user: rng.randrange(60) for user in range(1, 31)}
    rows = []
    for place in range(1_200):
        user = rng.choice(list(last))
        last[user] = (last[user] + rng.choice((1, 1, 1, 2))) % 60
        rows.append(f"{user}\t{last[user] + 1}\t{rng.randint(1, 5)}\t{900_000_000 + 60 * place}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    name: str, ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "topk":
        pytest.importorskip("faiss", reason="the extra `benchmarks` brings it")
    benchmark = importlib.import_module(f"benchmarks.{name}")
    for constant, value in SMALLER[name].items():
        monkeypatch.setattr(benchmark, constant, value)
    monkeypatch.setattr("benchmarks._asked_before_learnt.EVENTS", 40)  # short_rows reads by it
    threads, written = torch.get_num_threads(), tmp_path / "figures.json"
    options = ["--quick", "--repeats", "1", "--data", str(ratings), "--json", str(written)]
    try:
        benchmark.main(options)
    finally:
        torch.set_num_threads(threads)
    figures = json.loads(written.read_text())
    assert figures.keys() >= {*NAMES[name], "versions", "seconds"}
    assert "cores" in figures.pop("machine")
    assert all(math.isfinite(figures[key]) for key in figures if key != "versions")
