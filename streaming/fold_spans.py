"""Spans of what the worker does: an event that is folded, a slice that is closed.

An event's span stands in the trace that its producer began, and links to its window's trace. The
slice's span stands in the window's trace, and links back to the events. Both link to at most so
many as ``OTEL_SPAN_LINK_COUNT_LIMIT`` says (128), the first ones of each slice; once these are
found, no header of that slice is looked at any more.

What is remembered of an open slice is in memory alone: a worker that is killed forgets it, and the
slice's span then has the links of what came since.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from opentelemetry.trace import SpanContext, SpanKind

from everfresh.adapters.observe.tracing.contexts import sampled_records
from everfresh.adapters.observe.tracing.spans import Attributes, Spans
from everfresh.contracts.ports import Clock
from everfresh.contracts.window import Place, SliceClosed
from everfresh.streaming.log.records import FetchedRecord
from everfresh.streaming.state.write_batch import WriteBatch


class _OpenSlice(msgspec.Struct):
    """What is remembered until it is closed; ``began_ms`` is the append time of its first record
    that was seen, and ``links`` are the events' own spans."""

    place: Place
    began_ms: int
    links: list[SpanContext]


class FoldSpans:
    """One per worker, used on its event loop. ``topic`` is the events topic, read as ``group``."""

    def __init__(self, spans: Spans, topic: str, group: str, clock: Clock) -> None:
        self._spans = spans
        self._clock = clock
        self._process = f"process {topic}"
        self._slice = f"slice {topic}"
        self._messaging: Attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.consumer.group.name": group,
        }
        self._open: dict[int, _OpenSlice] = {}

    def folded(
        self, partition: int, records: Sequence[FetchedRecord], batch: WriteBatch, took_s: float
    ) -> None:
        """``records`` were fetched, and ``batch``, which is durable, is what came of them."""
        now_ms, at, ended = self._clock(), 0, list(batch.ended)
        for place, begin, end in batch.folded:
            while ended and ended[0].place < place:
                self._close(ended.pop(0), now_ms)
            while at < len(records) and records[at].offset < begin:
                at += 1
            first = at
            while at < len(records) and records[at].offset < end:
                at += 1
            times_ms = now_ms - took_s * 1000, now_ms
            self._find(partition, place, records[first:at], batch, times_ms)
        for closed in ended:
            self._close(closed, now_ms)

    def ended(self, batch: WriteBatch) -> None:
        """``batch`` may have closed slices of partitions that are idle."""
        for closed in batch.ended:
            self._close(closed, self._clock())

    def close(self) -> None:
        """Send what waits, for a second at most."""
        self._spans.close()

    def _find(
        self,
        partition: int,
        place: Place,
        records: Sequence[FetchedRecord],
        batch: WriteBatch,
        times_ms: tuple[float, float],
    ) -> None:
        """Write the spans of those of ``records`` that are sampled."""
        opened = self._open.get(partition)
        if not records:
            return
        if opened is None or opened.place != place:
            opened = self._open[partition] = _OpenSlice(place, records[0].timestamp, [])
        room = self._spans.most_links - len(opened.links)
        if room <= 0:
            return
        window = self._spans.window(place)
        for record, producer in sampled_records(records):
            attributes = {
                **self._messaging,
                "messaging.destination.partition.id": str(partition),
                "messaging.kafka.offset": record.offset,
                **_window(place),
            }
            self._spans.write(
                self._process,
                times_ms,
                attributes,
                parent=producer,
                links=[] if window is None else [window],
                kind=SpanKind.CONSUMER,
                error=batch.turned_away.get(record.offset, ""),
            )
            opened.links.append(producer)
            room -= 1
            if not room:
                return

    def _close(self, closed: SliceClosed, now_ms: int) -> None:
        opened = self._open.get(closed.partition)
        known = opened is not None and opened.place == closed.place
        if known:
            del self._open[closed.partition]
        window = self._spans.window(closed.place)
        if window is None or closed.start == closed.end:
            return
        self._spans.write(
            self._slice,
            (opened.began_ms if opened and known else now_ms, now_ms),
            {
                **self._messaging,
                "messaging.operation.name": "slice",
                "messaging.batch.message_count": closed.events + closed.rejected,
                "messaging.destination.partition.id": str(closed.partition),
                "everfresh.offset.start": closed.start,
                "everfresh.offset.end": closed.end,
                "everfresh.events": closed.events,
                "everfresh.rejected": closed.rejected,
                **_window(closed.place),
            },
            parent=window,
            links=opened.links if opened and known else [],
            kind=SpanKind.CONSUMER,
        )


def _window(place: Place) -> Attributes:
    return {"everfresh.window.label": place[0], "everfresh.window.cut": place[1]}
