"""The study ``short_rows`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies import short_rows
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    film_ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short_rows, "EVENTS", 40)
    figures = short_run(short_rows.main, tmp_path, "--data", str(film_ratings))
    assert figures.keys() >= {"hr10_float32", "same_rank_bf16", "same_rank_int8"}
