"""The study ``drifting`` in its short form."""

from __future__ import annotations

from pathlib import Path

from benchmarks.studies import drifting
from tests.benchmarks.short_run import short_run


def test_a_short_run_gives_all_figures_and_names_its_machine(tmp_path: Path) -> None:
    figures = short_run(drifting.main, tmp_path)
    assert figures.keys() >= {
        "items_per_window",
        "top_ten_share",
        "share_first",
        "hr10_popularity",
        "hr10_markov_fading_02",
        "hr10_observer_later",
        "ceiling_ndcg10_oracle",
    }


def test_counts_that_fade_forget_and_markov_is_filled_up() -> None:
    counts = drifting.Counts(0.5)
    counts.learn([(None, 1), (1, 2), (None, 3), (None, 3), (None, 3)])
    assert counts.markov(1) == [2, 3, 1]
    counts.learn([(1, 4), (1, 4)])
    assert counts.markov(1) == [4, 2, 3, 1]
    for _ in range(20):
        counts.learn([])
    assert counts.markov(1) == []
