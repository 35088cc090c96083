"""The study ``floods`` in its short form."""

from __future__ import annotations

from pathlib import Path

from benchmarks.studies import floods
from tests.benchmarks.short_run import short_run


def test_a_short_run_gives_all_figures_and_names_its_machine(tmp_path: Path) -> None:
    figures = short_run(floods.main, tmp_path)
    assert figures.keys() >= {"cpu_s_before", "cpu_s_last", "hr10_flooded", "items_last"}
