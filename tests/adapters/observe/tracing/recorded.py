"""Spans that stay in memory, and how one leads to the next."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanContext

from everfresh.adapters.observe.tracing.names import TraceNames
from everfresh.adapters.observe.tracing.spans import GivenIds, Spans

TOPIC = "t.events"
TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7


def traceparent(span: int = SPAN, flags: int = 1, trace: int = TRACE) -> bytes:
    return f"00-{trace:032x}-{span:016x}-{flags:02x}".encode()


class Recorded:
    """``spans`` are those of a process of the loop ``cluster``; what they write is kept here."""

    def __init__(self, cluster: str = "c", sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        ids = GivenIds()
        provider = TracerProvider(
            sampler or ParentBased(ALWAYS_ON), id_generator=ids, shutdown_on_exit=False
        )
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.spans = Spans(provider, ids, TraceNames(cluster, TOPIC))

    def all(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


def ids(context: SpanContext | None) -> tuple[int, int]:
    """Trace and span."""
    assert context is not None
    return context.trace_id, context.span_id


def linked(span: ReadableSpan) -> list[tuple[int, int]]:
    return [ids(link.context) for link in span.links]
