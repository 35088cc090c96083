from __future__ import annotations

import msgspec
import pytest

from everfresh.adapters.memory import MemoryReportSink
from everfresh.contracts.report import WindowReport
from everfresh.trainer.traced_reports import TracedReports
from tests.adapters.observe.tracing.recorded import Recorded, ids, linked

REPORT = WindowReport(
    label=9,
    scored_version=3,
    version=4,
    events=20,
    users=5,
    items=7,
    scores={},
    appended=[1_000, 1_500, 2_000],
    closed_ms=3_000,
    published_ms=4_000,
    seconds={"read": 0.1, "score": 0.2, "train": 0.5, "publish": 0.2},
)


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def traced(recorded: Recorded) -> TracedReports:
    return TracedReports(MemoryReportSink(), recorded.spans)


def test_a_window_lasts_from_its_first_event_to_its_version(
    recorded: Recorded, traced: TracedReports
) -> None:
    traced.window(REPORT)
    times = {
        span.name: ((span.start_time or 0) // 1_000_000, (span.end_time or 0) // 1_000_000)
        for span in recorded.all()
    }
    assert times == {
        "window": (1_000, 4_000),
        "version": (3_000, 4_000),
        "read": (3_000, 3_100),
        "score": (3_100, 3_300),
        "train": (3_300, 3_800),
        "publish": (3_800, 4_000),
    }


def test_a_report_that_is_written_again_leaves_no_span(
    recorded: Recorded, traced: TracedReports
) -> None:
    traced.window(msgspec.structs.replace(REPORT, seconds={}))
    assert recorded.all() == ()


def test_a_window_that_was_held_says_so_and_has_no_version(
    recorded: Recorded, traced: TracedReports
) -> None:
    traced.window(msgspec.structs.replace(REPORT, seconds={}, held="one item has most events"))
    assert [span.name for span in recorded.all()] == ["window", "hold"]
    hold = recorded.one("hold")
    assert ids(hold.parent) == ids(recorded.one("window").context)
    assert (hold.attributes or {})["everfresh.held"] == "one item has most events"


def test_the_versions_of_all_tracks_stand_in_one_trace(
    recorded: Recorded, traced: TracedReports
) -> None:
    traced.window(REPORT)
    traced.window(msgspec.structs.replace(REPORT, track="fast", version=2))
    root = recorded.one("window")
    versions = recorded.named("version")
    assert {ids(span.parent) for span in versions} == {ids(root.context)}
    assert len({ids(span.context) for span in versions}) == 2
    assert [(span.attributes or {})["everfresh.track"] for span in versions] == ["default", "fast"]


def test_windows_that_were_merged_lead_to_the_version_of_the_last(
    recorded: Recorded, traced: TracedReports
) -> None:
    traced.window(msgspec.structs.replace(REPORT, merged=[7, 8, 9]))
    version = recorded.one("version")
    first, second, last = recorded.named("window")
    assert linked(first) == linked(second) == [ids(version.context)]
    assert linked(version) == [ids(first.context), ids(second.context)]
    assert ids(version.parent) == ids(last.context)
    assert len({span.context.trace_id for span in (first, second, last) if span.context}) == 3


def test_reports_go_on_to_the_sink(recorded: Recorded) -> None:
    sink = MemoryReportSink()
    TracedReports(sink, recorded.spans).window(REPORT)
    assert sink.windows == [REPORT]
