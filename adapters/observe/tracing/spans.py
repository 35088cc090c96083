"""Writes spans, most of them when what they tell of is over; times come in.

A span of a window or a version has the ids of :class:`TraceNames`. Whether a window's trace is
sampled is OpenTelemetry's sampler to say (``OTEL_TRACES_SAMPLER``), from the trace's id alone where
it samples by a ratio: so all parts decide alike.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from everfresh.adapters.observe.tracing.names import SpanName, TraceNames
from everfresh.contracts.window import Place

Attributes = Mapping[str, str | int | float | bool]

_SCOPE = "everfresh"
_CLOSE_S = 1.0
_MOST_LINKS = 128
_MS = 1_000_000  # in nanoseconds, which OpenTelemetry counts in


class GivenIds(IdGenerator):
    """Random ids, but for the span that this thread is about to write under a given name."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._given = threading.local()

    def give(self, name: SpanName | None) -> None:
        """For the next span of this thread; ``None`` for random ids again."""
        self._given.name = name

    def generate_trace_id(self) -> int:
        """Called by the SDK for a span without parent."""
        name: SpanName | None = getattr(self._given, "name", None)
        return self._random.generate_trace_id() if name is None else name.trace_id

    def generate_span_id(self) -> int:
        """Called by the SDK for each span."""
        name: SpanName | None = getattr(self._given, "name", None)
        return self._random.generate_span_id() if name is None else name.span_id


class Spans:
    """Of one process; any thread may call it. ``provider`` has ``ids`` as its generator."""

    def __init__(self, provider: TracerProvider, ids: GivenIds, names: TraceNames) -> None:
        self._provider = provider
        self._ids = ids
        self._names = names
        self.tracer = provider.get_tracer(_SCOPE)
        # 128 unless OTEL_SPAN_LINK_COUNT_LIMIT says otherwise.
        limit = SpanLimits().max_links
        self.most_links = _MOST_LINKS if limit is None else limit

    def window(self, place: Place) -> SpanContext | None:
        """The root of a window's trace; ``None`` where it is not sampled."""
        return self._known(self._names.window(place))

    def version(self, place: Place, track: str, version: int) -> SpanContext | None:
        """The span of a version; ``None`` where its window's trace is not sampled."""
        return self._known(self._names.version(place, track, version))

    def _known(self, name: SpanName) -> SpanContext | None:
        decision = self._provider.sampler.should_sample(None, name.trace_id, "window").decision
        if decision is not Decision.RECORD_AND_SAMPLE:
            return None
        return SpanContext(*name, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def write(  # noqa: PLR0913 - what a span has
        self,
        name: str,
        times_ms: tuple[float, float],
        attributes: Attributes,
        *,
        parent: SpanContext | None = None,
        own: SpanContext | None = None,
        links: Sequence[SpanContext] = (),
        kind: SpanKind = SpanKind.INTERNAL,
        error: str = "",
    ) -> None:
        """Write a span that began and ended at ``times_ms``, UTC.

        ``own`` are its ids where they are given, ``error`` the kind of error that ended it.
        """
        context = Context()
        if parent is not None:
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent), context)
        began, ended = (round(at * _MS) for at in times_ms)
        self._ids.give(None if own is None else SpanName(own.trace_id, own.span_id))
        try:
            span = self.tracer.start_span(
                name, context, kind, attributes, [Link(link) for link in links], began
            )
        finally:
            self._ids.give(None)
        if error:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(max(began, ended))

    def close(self) -> None:
        """Send what waits, and end; what the collector does not take within a second is lost."""
        ending = threading.Thread(target=self._provider.shutdown, name="tracing end", daemon=True)
        ending.start()
        ending.join(_CLOSE_S)
