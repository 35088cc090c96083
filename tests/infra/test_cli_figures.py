"""The arithmetic of the demo's report and views: pure."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from rich.console import Console
from rich.table import Table

from contracts.manifest import Pointer
from contracts.report import ComponentStatus, WindowReport
from infra.cli.demo import _speed
from infra.cli.figures import CONTENDERS, FRESH, METRICS, score_figures, scored, smoothed
from infra.cli.freshness import LiveVersions, weighted_quantile, window_freshness
from infra.cli.observed import Observed
from infra.cli.plot import draw
from infra.cli.report import Counts, build_report, report_table, write_report
from infra.cli.status import _components, _windows, freshness_line
from infra.cli.view import Snapshot, plain_line, render, sparkline
from infra.cli.watch import Rate
from trainer import reporting as trainer


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


def test_before_the_first_version_freshness_names_no_version() -> None:
    assert freshness_line(Observed(1), None) == (
        "freshness: known once the first version is trained and live everywhere"
    )


def trained_and_live(newest: int) -> Observed:
    seen = Observed(2)
    for version in range(1, newest + 1):
        seen.window(window(version, appended=[1000 * version] * 101))
        for name in ("a", "b"):
            seen.status(replica(name, 1000 * version + 900, version, 1000 * version + 800))
    return seen


def test_freshness_is_that_of_the_newest_window_once_its_version_is_live_everywhere() -> None:
    seen = trained_and_live(3)
    assert freshness_line(seen, Pointer(1, 3)).startswith("freshness of the newest window: p50 0.8")
    seen.window(window(4, appended=[4000] * 101))
    assert freshness_line(seen, Pointer(1, 4)) == (
        "freshness: known once version 4, which is trained, is live everywhere; now that is 3"
    )


def test_a_window_that_was_held_is_in_no_version_and_has_no_freshness() -> None:
    seen = trained_and_live(3)
    fresh = freshness_line(seen, Pointer(1, 3))
    late = structs.replace(window(3, appended=[9000] * 101), label=9, held="clock garbage")
    seen.window(late)
    assert freshness_line(seen, Pointer(1, 3)) == fresh


def test_after_a_rollback_it_is_said_what_is_live_until_a_version_has_come_of_it() -> None:
    seen = trained_and_live(3)
    seen.status(replica("a", 5000, 1, 4900))
    line = (
        "freshness: version 1 is the current one by a rollback from 3, live on {} of 2 replicas; "
        "known again once the next version is trained and live everywhere"
    )
    assert freshness_line(seen, Pointer(2, 1, left=3)) == line.format(1)
    seen.status(replica("b", 5000, 1, 4900))
    assert freshness_line(seen, Pointer(2, 1, left=3)) == line.format(2)
    seen.window(window(4, appended=[5000] * 101))
    for name in ("a", "b"):
        seen.status(replica(name, 6000, 4, 5900))
    assert freshness_line(seen, Pointer(2, 4)).startswith("freshness of the newest window: p50 0.9")


def printed(table: Table) -> str:
    console = Console(width=300, record=True, file=io.StringIO(), highlight=False)
    console.print(table)
    return console.export_text()


def test_status_shows_what_a_trainer_held_and_rolled_back_and_how_far_behind_it_is() -> None:
    figures = trainer.Figures(
        windows=9,
        version=7,
        backlog=4,
        backlog_s=12.34,
        merged=3,
        sampled=2,
        events_per_s=4321.9,
        loss=5.4321,
        held=1,
        rolled_back=1,
        last_held="window 8: [x] of one user",
    )
    seen = Observed(1)
    seen.status(trainer.status(figures, "running", 1000))
    said = printed(_components(seen, 1000))
    behind = "version 7  windows 9  backlog 4  backlog_s 12.3  merged 3  sampled 2"
    assert behind + "  events_per_s 4,322  loss 5.43  held 1  rolled_back 1" in said
    assert "last_held window 8: [x] of one user" in said
    for name in ("let_pass", "overtaken", "workers_lost", "undeleted"):
        assert name not in said, "what is zero is not shown"


def test_status_shows_why_a_replica_stays_at_its_version() -> None:
    seen = Observed(1)
    figures = {"version": 3, "epoch": 2, "load_failures": 5, "reason": "CorruptVersion: [4] nan"}
    seen.status(ComponentStatus("replica-a", "replica", 1000, "serving", figures))
    said = printed(_components(seen, 1000))
    assert "epoch 2  load_failures 5  reason CorruptVersion: [4] nan" in said
    seen.status(ComponentStatus("replica-a", "replica", 1000, "serving", {"version": 3}))
    assert "load_failures" not in printed(_components(seen, 1000))


def test_status_says_what_became_of_each_window() -> None:
    kept = window(5)
    changed = [
        kept,
        structs.replace(kept, held="gain [-0.2] is worse"),
        structs.replace(kept, left=6),
        structs.replace(kept, merged=[1, 2, 3], sampled=0.25),
    ]
    lines = [line for line in printed(_windows(changed)).splitlines() if "100" in line]
    ends = ("usual", "held: gain [-0.2] is worse", "version 6 left out by a rollback")
    for line, end in zip(lines, (*ends, "3 windows merged, 25% sampled"), strict=True):
        assert line.rstrip(" │").endswith(end)
    assert " - │ held" in lines[1], "what was held was not published"


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
