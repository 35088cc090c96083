from __future__ import annotations

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from everfresh.streaming.fold_spans import FoldSpans
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.store import MemoryStore
from tests.adapters.observe.tracing.recorded import TOPIC, Recorded, linked, traceparent
from tests.streaming.sample_log import (
    PERIOD_MS,
    START_MS,
    LogRecord,
    accepted,
    delivered,
    opened,
    rejected,
    rules,
)

LABEL = START_MS // PERIOD_MS
PROCESS, SLICE = f"process {TOPIC}", f"slice {TOPIC}"


class Worker:
    """A partition and what is written of it."""

    def __init__(self, partition: Partition | None = None) -> None:
        self.recorded = Recorded()
        self.partition = partition or opened(MemoryStore())
        self._traces = FoldSpans(self.recorded.spans, TOPIC, "stream", lambda: START_MS + 9_000)

    def fetch(self, *records: LogRecord) -> None:
        fetched = list(records)
        batch = self.partition.apply(fetched)
        self._traces.folded(0, fetched, batch, 0.5)  # type: ignore[arg-type]

    def close(self, label: int) -> None:
        self._traces.ended(self.partition.close_until(label))

    def offsets(self) -> list[object]:
        spans = self.recorded.named(PROCESS)
        return [(span.attributes or {})["messaging.kafka.offset"] for span in spans]


def traced(offset: int, at_ms: int = START_MS, flags: int = 1) -> LogRecord:
    record = accepted(offset, offset % 3, offset, at_ms)
    record.headers.append(("traceparent", traceparent(1000 + offset, flags)))
    return record


def test_an_event_that_is_sampled_leaves_a_span_and_no_other_does() -> None:
    worker = Worker()
    broken = accepted(2, 1, 1, START_MS)
    broken.headers.append(("traceparent", b"\xff" * 55))
    worker.fetch(accepted(0, 1, 1, START_MS), traced(1), broken, traced(3, flags=0), traced(4))
    assert worker.offsets() == [1, 4]
    span = worker.recorded.named(PROCESS)[0]
    assert span.kind == SpanKind.CONSUMER
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": TOPIC,
        "messaging.consumer.group.name": "stream",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 1,
        "everfresh.window.label": LABEL,
        "everfresh.window.cut": 0,
    }
    assert (span.start_time, span.end_time) == (
        (START_MS + 8_500) * 1_000_000,
        (START_MS + 9_000) * 1_000_000,
    )


def test_an_event_that_is_turned_away_says_why_in_its_trace() -> None:
    worker = Worker()
    record = rejected(0, START_MS)
    record.headers.append(("traceparent", traceparent()))
    worker.fetch(record, traced(1))
    away, taken = worker.recorded.named(PROCESS)
    assert away.status.status_code == StatusCode.ERROR
    assert (away.attributes or {})["error.type"] == "not_json"
    assert taken.status.status_code == StatusCode.UNSET


def test_a_slice_links_to_its_own_events_however_they_were_fetched() -> None:
    worker = Worker()
    later = START_MS + PERIOD_MS
    worker.fetch(traced(0), accepted(1, 1, 1, START_MS))
    worker.fetch(traced(2), traced(3, later), rejected(4, later))
    worker.fetch(traced(5, later + PERIOD_MS))
    worker.close(LABEL + 2)
    slices = worker.recorded.named(SLICE)
    assert [[span for _, span in linked(each)] for each in slices] == [[1000, 1002], [1003], [1005]]
    assert [(each.attributes or {})["everfresh.window.label"] for each in slices] == [
        LABEL,
        LABEL + 1,
        LABEL + 2,
    ]
    first = slices[0].attributes or {}
    assert (first["everfresh.offset.start"], first["everfresh.offset.end"]) == (0, 3)
    assert first["messaging.batch.message_count"] == first["everfresh.events"] == 3
    events = [linked(span) for span in worker.recorded.named(PROCESS)]
    parents = [(span.parent.trace_id, span.parent.span_id) for span in slices if span.parent]
    assert events == [[parents[at]] for at in (0, 0, 1, 2)]


def test_links_and_spans_of_a_slice_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "4")
    worker = Worker()
    for first in range(0, 60, 3):
        worker.fetch(*(traced(offset) for offset in range(first, first + 3)))
    worker.close(LABEL)
    assert worker.offsets() == [0, 1, 2, 3]
    assert len(worker.recorded.one(SLICE).links) == 4


def test_a_slice_without_records_has_no_span() -> None:
    worker = Worker()
    worker.close(LABEL)
    worker.close(LABEL + 1)
    assert worker.recorded.all() == ()


def test_records_that_are_read_again_leave_no_second_span() -> None:
    worker = Worker()
    worker.fetch(traced(0), traced(1))
    worker.fetch(traced(0), traced(1), traced(2))
    assert worker.offsets() == [0, 1, 2]


def test_history_that_is_cut_by_its_number_has_a_trace_for_each_cut() -> None:
    worker = Worker(opened(MemoryStore(), rules(history_events=4)))
    old = [accepted(n, n % 3, n, START_MS, ago_ms=10_000_000) for n in range(10)]
    for record in old:
        record.headers.append(("traceparent", traceparent(1000 + record.offset)))
    worker.fetch(*old)
    worker.close(LABEL)
    slices = worker.recorded.named(SLICE)
    assert [(each.attributes or {})["everfresh.window.cut"] for each in slices] == [0, 1, 2]
    assert [len(each.links) for each in slices] == [4, 4, 2]


def test_a_worker_that_was_killed_goes_on_with_the_same_window() -> None:
    store = MemoryStore()
    before = Worker(opened(store))
    before.fetch(traced(0), traced(1))
    after = Worker(opened(store))
    after.fetch(traced(2))
    after.close(LABEL)
    cut = after.recorded.one(SLICE)
    assert [span for _, span in linked(cut)] == [1002]
    assert (cut.attributes or {})["everfresh.events"] == 3
    windows = {tuple(linked(span)) for w in (before, after) for span in w.recorded.named(PROCESS)}
    assert len(windows) == 1
    assert list(delivered(after.partition))
