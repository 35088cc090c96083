"""``catalogue`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.catalogue import __main__ as catalogue
from benchmarks.catalogue.measure import Cost
from benchmarks.catalogue.report import figures
from tests.benchmarks.short_run import short_run


@pytest.mark.process
def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "SIZES", (300,))
    measured = short_run(catalogue.main, tmp_path)
    assert measured.keys() >= {"train_s_300", "step_ms_300", "all_s_300", "rss_mb_300"}
    assert 0 < measured["touched_rows_300"] <= 301
    assert 0 < measured["version_mb_300"] < 5
    assert 0 <= measured["index_s_300"] < 0.1
    assert 0 < measured["rank_s_300"] < measured["all_s_300"]


def test_the_ratio_is_that_of_a_million_items_to_ten_thousand() -> None:
    costs = {
        10_000: Cost(2.5, 0.5, 2.0, 20.0, 9.0, 0.0, 4.0, 700.0),
        1_000_000: Cost(5.0, 1.5, 3.0, 30.0, 99.0, 0.5, 9.0, 1700.0),
    }
    assert figures(costs)["ratio_1m_vs_10k"] == 2.0
    assert figures(costs)["train_ratio_1m_vs_10k"] == 1.5
    assert "train_ratio_1m_vs_10k" not in figures({10_000: costs[10_000]})
