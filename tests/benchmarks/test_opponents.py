"""``opponents`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import opponents
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opponents, "SIZES", (50, 300))
    monkeypatch.setattr(opponents, "EVENTS", 60)
    figures = short_run(opponents.main, tmp_path)
    assert figures.keys() >= {
        "popularity_rank_50_ms",
        "vmis_knn_learn_300_ms",
        "all_300_ms",
        "checkpoint_300_mb",
    }
