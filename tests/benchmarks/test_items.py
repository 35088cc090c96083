"""``items`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import items
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "QUICK", (400,))
    figures = short_run(items.main, tmp_path)
    assert figures.keys() >= {"plain_ms_400", "filter_p99_ms_400", "record_us_400"}
