"""``gate`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gate import __main__ as gate
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    film_ratings: Path, tmp_path: Path
) -> None:
    figures = short_run(gate.main, tmp_path, "--data", str(film_ratings), "--events", "100")
    assert figures.keys() >= {"usual_held", "random_clock_held", "hr10_before", "hr10_lowest"}
