"""``deltas`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import deltas
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deltas, "SIZES", (2_000, 8_000, 8_000))
    figures = short_run(deltas.main, tmp_path)
    assert figures.keys() >= {"whole_mb_2000_0.01", "ratio_8000_0.01", "delta_s_8000_0.01_int8"}
