"""``cache_reuse`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cache_reuse
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    film_ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_reuse, "EVENTS", 40)
    figures = short_run(cache_reuse.main, tmp_path, "--data", str(film_ratings))
    assert figures.keys() >= {"hr10_0", "ndcg10_16", "mixed_4", "read_ms_1"}
