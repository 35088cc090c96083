"""The arithmetic of the demo's report and views: pure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.infra.cli.demo.demo import _speed
from everfresh.infra.cli.demo.plot import draw
from everfresh.infra.cli.demo.report import Counts, build_report, report_table, write_report
from everfresh.infra.cli.views.figures import (
    CONTENDERS,
    FRESH,
    METRICS,
    score_figures,
    scored,
    smoothed,
)
from everfresh.infra.cli.views.freshness import LiveVersions, weighted_quantile, window_freshness
from everfresh.infra.cli.views.live import Snapshot, plain_line, render, sparkline
from everfresh.infra.cli.views.observed import Observed
from everfresh.infra.cli.views.watch import Rate


def window(
    version: int, events: int = 100, score: float = 0.1, appended: list[int] | None = None
) -> WindowReport:
    scores = {name: dict.fromkeys((*METRICS, FRESH), score) for name in CONTENDERS}
    parent = version - 1 or None
    times = [0] * 101 if appended is None else appended
    return WindowReport(
        version, parent, version, events, 9, 9, scores, times, 1, 1, {}, events // 10
    )


def replica(name: str, time: int, version: int | None, since: int | None) -> ComponentStatus:
    figures = {"version": version, "live_since_ms": since}
    return ComponentStatus(name, "replica", time, "running", figures)


def test_a_version_is_live_when_the_last_replica_has_it() -> None:
    live = LiveVersions(2)
    live.seen("a", 0, None, None)
    live.seen("b", 0, None, None)
    live.seen("a", 1000, 1, 900)
    assert live.everywhere_since(1) is None
    live.seen("b", 1100, 1, 1050)
    assert live.everywhere_since(1) == 1050
    assert live.everywhere_since(2) is None


def test_nothing_is_live_everywhere_before_all_replicas_were_heard() -> None:
    live = LiveVersions(2)
    live.seen("a", 1000, 1, 900)
    assert live.everywhere_since(1) is None


def test_a_skipped_version_counts_from_the_next_one_seen() -> None:
    live = LiveVersions(2)
    live.seen("a", 1000, 1, 900)
    live.seen("b", 1000, 1, 950)
    live.seen("a", 3000, 3, 2900)
    live.seen("b", 2000, 2, 1900)
    live.seen("b", 3000, 3, 2950)
    assert live.everywhere_since(2) == 2900
    assert live.everywhere_since(3) == 2950


def test_a_replica_that_comes_later_does_not_change_what_was_live() -> None:
    live = LiveVersions(2)
    live.seen("a", 1000, 1, 900)
    live.seen("b", 1000, 1, 950)
    live.gone("b")
    live.seen("c", 9000, 2, 8900)
    live.seen("a", 9000, 2, 2000)
    assert live.everywhere_since(1) == 950
    assert live.everywhere_since(2) == 8900


def test_a_replica_that_fell_silent_holds_nothing_up() -> None:
    live = LiveVersions(1)
    live.seen("a", 1000, 1, 900)
    live.seen("b", 2000, 1, 950)
    live.seen("b", 3000, 2, 2950)
    assert live.everywhere_since(2) is None
    live.seen("b", 12_000, 2, 2950)
    assert live.everywhere_since(2) == 2950


def test_quantiles_weigh_by_events() -> None:
    samples = [(1.0, 98.0), (5.0, 1.0), (9.0, 1.0)]
    assert weighted_quantile(samples, 0.5) == 1.0
    assert weighted_quantile(samples, 0.99) == 5.0
    assert weighted_quantile(samples, 1.0) == 9.0
    assert weighted_quantile([], 0.5) is None


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_splits_the_weight_at_its_share(pairs: list[tuple[int, int]], q: float) -> None:
    found = weighted_quantile([(float(value), float(weight)) for value, weight in pairs], q)
    assert found is not None
    total = sum(weight for _, weight in pairs)
    assert sum(weight for value, weight in pairs if value <= found) >= q * total - 1e-9
    assert sum(weight for value, weight in pairs if value < found) <= q * total + 1e-9


def test_freshness_runs_from_append_to_live_everywhere() -> None:
    live = LiveVersions(1)
    live.seen("a", 5000, 1, 4000)
    one = window(1, events=202, appended=[1000] * 100 + [2000])
    samples = window_freshness(one, live)
    assert samples == [(3.0, 2.0)] * 100 + [(2.0, 2.0)]
    assert window_freshness(window(2), live) == []


def test_freshness_of_a_run_is_over_events_not_windows() -> None:
    seen = Observed(1)
    seen.window(window(1, events=990, appended=[1000] * 101))
    seen.window(window(2, events=10, appended=[0] * 101))
    seen.status(replica("a", 3000, 1, 2000))
    assert seen.freshness_pending()
    seen.status(replica("a", 9000, 2, 8000))
    assert not seen.freshness_pending()
    assert seen.freshness(0.5, 0.98, 0.999) == [1.0, 1.0, 8.0]


def test_scores_are_means_over_events_of_the_windows_that_all_were_measured_on() -> None:
    first = window(1, events=5000, score=0.9)
    partial = WindowReport(9, 8, 9, 70, 9, 9, {"live": {"hr10": 1.0}}, [], 1, 1, {})
    windows = [first, window(2, 300, 0.1), window(3, 100, 0.5), partial]
    assert [one.version for one in scored(windows)] == [2, 3]
    figures = score_figures(windows)
    measured = {f"{metric}_{name}" for metric in (*METRICS, FRESH) for name in CONTENDERS}
    assert set(figures) == measured
    assert all(value == pytest.approx(0.2) for value in figures.values())
    assert set(score_figures([first]).values()) == {None}


def test_fresh_scores_are_means_over_the_fresh_targets_of_the_windows_that_have_some() -> None:
    plain = {name: dict.fromkeys(METRICS, 0.3) for name in CONTENDERS}
    none = WindowReport(4, 3, 4, 500, 9, 9, plain, [], 1, 1, {})
    figures = score_figures([window(2, 300, 0.1), window(3, 100, 0.5), none])
    assert figures["fresh_hr10_live"] == pytest.approx(0.2)
    assert score_figures([none])["fresh_hr10_live"] is None


def test_a_window_that_is_reported_again_is_counted_once() -> None:
    seen = Observed(1)
    for _ in range(2):
        seen.window(window(1, events=7))
    assert seen.trained_events() == 7


def test_the_version_everywhere_is_the_least_of_the_replicas() -> None:
    seen = Observed(2)
    assert seen.version_everywhere() == 0
    seen.status(replica("a", 1000, 4, 1))
    seen.status(replica("b", 1000, 3, 1))
    assert seen.version_everywhere() == 3
    seen.status(ComponentStatus("b", "replica", 2000, "stopped", {}))
    assert seen.version_everywhere() == 4


COUNTS = Counts(400, 1, 50, 2, 4.25, 9.0, 1.23456, 2.5, 20.0, 100.0, 130.0)
NAMED = {
    *("events", "windows", "versions", "dead_letters", "failed_requests", "seconds"),
    *(f"{metric}_{name}" for metric in ("hr10", "ndcg10") for name in CONTENDERS),
    *("freshness_p50_s", "freshness_p99_s"),
}


def test_the_report_is_flat_and_holds_the_named_figures(tmp_path: Path) -> None:
    report = build_report([window(1, 100), window(2, 300)], COUNTS)
    assert set(report) >= NAMED
    assert report["events"] == 400
    assert report["windows"] == report["versions"] == 2
    assert report["scored_events"] == 300
    assert report["freshness_p50_s"] == 1.235
    assert all(isinstance(value, (int, float)) for value in report.values())
    write_report(tmp_path / "report.json", report)
    assert json.loads((tmp_path / "report.json").read_text()) == report


def snapshot(windows: list[WindowReport]) -> Snapshot:
    versions = {"replica-a": 2, "replica-b": 3}
    return Snapshot(*("t", "replaying", 12.0, 10, 100, 5.0, 3, windows, 1, 0, versions, None, 2.0))


@pytest.mark.parametrize("windows", [[], [window(1)], [window(1), window(2), window(3)]])
def test_the_views_draw_every_state_of_a_run(windows: list[WindowReport], tmp_path: Path) -> None:
    console = Console(width=100, record=True, file=(tmp_path / "out").open("w"))
    console.print(render(snapshot(windows)))
    console.print(report_table(build_report(windows, COUNTS)))
    text = console.export_text()
    console.file.close()
    assert "windows trained" in text
    assert "last-item Markov" in text
    assert "10/100 events" in plain_line(snapshot(windows))
    live = LiveVersions(1)
    live.seen("a", 5, 3, 5)
    draw(windows, live, "title", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_sparkline_has_a_full_bar_at_the_top() -> None:
    assert sparkline([0.0, 0.5, 1.0, 2.0], 1.0) == "▁▅██"
    assert sparkline([0.0] * 3, 0.0) == "▁▁▁"
    assert len(sparkline([1.0] * 99, 1.0, width=10)) == 10


def test_smoothing_keeps_a_constant_and_weighs_by_events() -> None:
    assert smoothed([3.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], 3) == [3.0] * 5
    assert smoothed([0.0, 1.0], [1.0, 3.0], 3) == [0.75, 0.75]
    assert smoothed([5.0], [0.0], 3) == [5.0]


def test_a_rate_is_over_the_last_seconds_and_begins_anew_after_a_restart() -> None:
    rate = Rate(span_s=5.0)
    assert rate.per_s == 0.0
    for second in range(20):
        rate.add(float(second), second * 10 if second < 10 else 90 + (second - 9) * 100)
    assert rate.per_s == pytest.approx(100.0)
    rate.add(20.0, 0)
    assert rate.per_s == 0.0


def test_the_demos_speed_fits_its_budget_and_is_never_slow() -> None:
    assert _speed(100_000, 30.0) == pytest.approx(1_000, rel=0.2)
    assert _speed(100_000, 80.0) > _speed(100_000, 30.0)
    assert _speed(40_000, 30.0) == _speed(6_000, 30.0) == 400.0
    assert _speed(100_000, 1e6) == 10_000.0
