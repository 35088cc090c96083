"""Means over events of the windows' scores. Pure."""

from __future__ import annotations

import pytest

from everfresh.contracts.report import WindowReport
from everfresh.infra.cli.views.scores import (
    CONTENDERS,
    GROUPS,
    METRICS,
    score_figures,
    scored,
    smoothed,
)
from tests.infra.cli.reports import window


def test_scores_are_means_over_events_of_the_windows_that_all_were_measured_on() -> None:
    first = window(1, events=5000, score=0.9)
    partial = WindowReport(9, 8, 9, 70, 9, 9, {"live": {"hr10": 1.0}}, [], 1, 1, {})
    windows = [first, window(2, 300, 0.1), window(3, 100, 0.5), partial]
    assert [report.version for report in scored(windows)] == [2, 3]
    figures = score_figures(windows)
    metrics = [*METRICS, *(f"{group}_hr10" for group in GROUPS)]
    measured = {f"{metric}_{name}" for metric in metrics for name in CONTENDERS}
    assert set(figures) == measured
    assert all(value == pytest.approx(0.2) for value in figures.values())
    assert set(score_figures([first]).values()) == {None}


def test_fresh_scores_are_means_over_the_fresh_targets_of_the_windows_that_have_some() -> None:
    plain = {name: dict.fromkeys(METRICS, 0.3) for name in CONTENDERS}
    none = WindowReport(4, 3, 4, 500, 9, 9, plain, [], 1, 1, {})
    figures = score_figures([window(2, 300, 0.1), window(3, 100, 0.5), none])
    assert figures["fresh_hr10_live"] == pytest.approx(0.2)
    assert score_figures([none])["fresh_hr10_live"] is None


def test_windows_of_an_earlier_release_count_for_what_they_were_measured_on() -> None:
    scores = {name: {"hr10": 0.3, "ndcg10": 0.2} for name in CONTENDERS if name != "vmis-knn"}
    earlier = WindowReport(4, 3, 4, 100, 9, 9, scores, [], 1, 1, {}, 7)
    figures = score_figures([earlier, window(5, 100, 0.1)])
    assert figures["hr10_live"] == pytest.approx(0.2)
    assert figures["hr10_vmis-knn"] == pytest.approx(0.1)
    assert figures["first_hr10_live"] == pytest.approx(0.1)


def test_smoothing_keeps_a_constant_and_weighs_by_events() -> None:
    assert smoothed([3.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], 3) == [3.0] * 5
    assert smoothed([0.0, 1.0], [1.0, 3.0], 3) == [0.75, 0.75]
    assert smoothed([5.0], [0.0], 3) == [5.0]
