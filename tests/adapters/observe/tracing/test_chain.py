"""From a producer's ``traceparent`` to an answer that used the event, through all parts."""

from __future__ import annotations

from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

from everfresh.contracts.settings import Settings
from everfresh.contracts.window import SliceRecord, decode_slice_record
from everfresh.streaming.fold_spans import FoldSpans
from everfresh.streaming.state.store import MemoryStore
from everfresh.trainer.traced_reports import TracedReports
from tests.adapters.observe.tracing.recorded import (
    SPAN,
    TOPIC,
    TRACE,
    Recorded,
    ids,
    linked,
    traceparent,
)
from tests.serving.http_client import Client
from tests.serving.replica_in_memory import Bench as Serving
from tests.streaming.sample_log import PERIOD_MS, START_MS, LogRecord, accepted, delivered, opened
from tests.trainer.bench import Bench as Trainer
from tests.trainer.small_settings import one_thread, small_settings

__all__ = ["one_thread", "small_settings"]

ASKED = 0xABCDEF
"""Who asks stands in a trace of its own."""
LABEL = START_MS // PERIOD_MS


def events(number: int, traced: int = 3) -> list[LogRecord]:
    """Of one window; the event at offset ``traced`` has a header."""
    made = [accepted(n, n % 4, n % 5, START_MS + n) for n in range(number)]
    made[traced].headers.append(("traceparent", traceparent()))
    return made


def window_of(recorded: Recorded, records: list[LogRecord]) -> dict[int, list[SliceRecord]]:
    """Fold as a worker does, and close the window: what then stands on the topic ``windows``."""
    partition = opened(MemoryStore())
    worker = FoldSpans(recorded.spans, TOPIC, "stream", lambda: START_MS + 900)
    worker.folded(0, records, partition.apply(records), 0.01)  # type: ignore[arg-type]
    worker.ended(partition.close_until(LABEL))
    rows = [row for row in delivered(partition) if row.topic == "windows"]
    return {0: [decode_slice_record(row.value) for row in rows]}


def test_a_trace_leads_from_an_event_over_its_window_and_version_to_an_answer(
    small_settings: Settings,
) -> None:
    worker, trainer, replica = Recorded(), Recorded(), Recorded()
    log = window_of(worker, events(40))

    serving = Serving(spans=replica.spans)
    training = Trainer(log, small_settings)
    training.store, training.tracks = serving.store, serving.tracks
    training.reports = TracedReports(training.reports, trainer.spans)  # type: ignore[assignment]
    training.run()
    serving.replica.start()
    serving.replica.stop()
    serving.remember(1, [1, 2, 3])
    asked = {"traceparent": traceparent(trace=ASKED).decode()}
    answered = Client(serving).post("/v1/recommend", json={"user_id": 1}, headers=asked)
    assert answered.status_code == 200

    folded = worker.one(f"process {TOPIC}")
    assert (ids(folded.parent)) == (TRACE, SPAN)
    (window,) = linked(folded)
    cut, root = worker.one(f"slice {TOPIC}"), trainer.one("window")
    assert ids(root.context) == ids(cut.parent) == window
    assert linked(cut) == [(TRACE, SPAN)]
    version = trainer.one("version")
    assert ids(version.parent) == window
    for stage in ("read", "score", "train", "publish"):
        assert ids(trainer.one(stage).parent) == ids(version.context)
    assert ids(replica.one("take over").parent) == ids(version.context)
    answer = replica.one("POST /v1/recommend")
    assert ids(answer.parent) == (ASKED, SPAN)
    assert linked(answer) == [ids(version.context)]
    assert answer.attributes is not None
    assert answer.attributes["everfresh.version"] == 1
    assert answer.attributes["everfresh.state.offset"] == 7


def test_traces_leave_no_byte_in_slices_and_versions(small_settings: Settings) -> None:
    """Law 5: what is trained is the same whether anybody looks on or not."""
    traced, plain = events(40), events(40)
    for record in plain:
        record.headers.clear()
    with_headers = window_of(Recorded(), traced)
    without = window_of(Recorded(sampler=ALWAYS_OFF), plain)
    assert with_headers == without
    looked_on = Trainer(with_headers, small_settings)
    sink = TracedReports(looked_on.reports, Recorded().spans)
    looked_on.reports = sink  # type: ignore[assignment]
    looked_on.run()
    alone = Trainer(without, small_settings)
    alone.run()
    assert looked_on.versions() == alone.versions()


def test_where_windows_are_not_sampled_a_traced_event_still_has_its_span() -> None:
    recorded = Recorded(sampler=ParentBased(ALWAYS_OFF))
    window_of(recorded, events(20))
    (span,) = recorded.all()
    assert (span.name, linked(span)) == (f"process {TOPIC}", [])


def test_all_parts_decide_alike_which_windows_are_sampled() -> None:
    half = ParentBased(TraceIdRatioBased(0.5))
    parts = [Recorded(sampler=half) for _ in range(3)]
    chosen = [[bool(part.spans.window((label, 0))) for label in range(200)] for part in parts]
    assert chosen[0] == chosen[1] == chosen[2]
    assert 50 < sum(chosen[0]) < 150
