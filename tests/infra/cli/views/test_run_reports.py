"""What a run has reported of itself, put together. Pure."""

from __future__ import annotations

from everfresh.contracts.report import ComponentStatus
from everfresh.infra.cli.views.run_reports import RunReports
from tests.infra.cli.reports import replica, window


def test_freshness_of_a_run_is_over_events_not_windows() -> None:
    reports = RunReports(1)
    reports.window(window(1, events=990, appended=[1000] * 101))
    reports.window(window(2, events=10, appended=[0] * 101))
    reports.status(replica("a", 3000, 1, 2000))
    assert reports.freshness_pending()
    reports.status(replica("a", 9000, 2, 8000))
    assert not reports.freshness_pending()
    assert reports.freshness(0.5, 0.98, 0.999) == [1.0, 1.0, 8.0]


def test_a_window_that_is_reported_again_is_counted_once() -> None:
    reports = RunReports(1)
    for _ in range(2):
        reports.window(window(1, events=7))
    assert reports.trained_events() == 7


def test_the_version_everywhere_is_the_least_of_the_replicas() -> None:
    reports = RunReports(2)
    assert reports.version_everywhere() == 0
    reports.status(replica("a", 1000, 4, 1))
    reports.status(replica("b", 1000, 3, 1))
    assert reports.version_everywhere() == 3
    reports.status(ComponentStatus("b", "replica", 2000, "stopped", {}))
    assert reports.version_everywhere() == 4


def test_a_run_without_end_keeps_the_last_windows_and_counts_all() -> None:
    reports, whole = RunReports(1, most=3), RunReports(1)
    for each in (reports, whole):
        for number in range(1, 11):
            each.window(window(number, events=10, appended=[1000 * number] * 101))
            each.status(replica("a", 1000 * number + 900, number, 1000 * number + 100 * number))
    assert (reports.trained, reports.trained_events(), reports.version()) == (10, 100, 10)
    assert reports.windows == whole.windows[-3:]
    assert whole.freshness(0.5, 1.0) == [0.5, 1.0]
    assert reports.freshness(0.1, 0.5, 1.0) == [0.8, 0.9, 1.0]
    assert len(reports._places) == 3
    assert len(reports.live._everywhere) == len(reports.live._steps["a"]) == 3
    for late in reports.windows:
        reports.window(late)
    assert reports.trained == 10
