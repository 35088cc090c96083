"""The study ``linear_blocks`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies import linear_blocks
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    film_ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_blocks, "LENGTHS", (40,))
    monkeypatch.setattr(linear_blocks, "BATCH_TOKENS", 200)
    figures = short_run(linear_blocks.main, tmp_path, "--data", str(film_ratings))
    assert figures.keys() >= {"tokens_s_hstu_40", "tokens_s_linear_40", "hr10_hstu", "hr10_linear"}
