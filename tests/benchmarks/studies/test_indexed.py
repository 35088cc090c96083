"""``studies.indexed`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies import indexed
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexed, "SIZES", (12_000,))
    figures = short_run(indexed.main, tmp_path)
    assert figures.keys() >= {"first_s_12000", "renew_s_12000", "filter_exact_p99_ms_12000"}
    assert figures["plain_4096_recall_12000"] > 0.9
