"""W3C trace context in the headers of records and requests: whose sampled span they come from.

Headers are written by somebody else. What is no trace context is none, and never an error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from opentelemetry.trace import SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from everfresh.contracts.event_codec import Headers

_LENGTH, _FLAGS = 55, 54
"""Length of a traceparent of version 00, and the place of the digit that says it is sampled."""
_LONGEST = 512
"""Bytes beyond which a header is no trace context (of a tracestate this many must be kept)."""
_SAMPLED, _SAMPLED_TEXT = b"13579bdf", "13579bdf"
_EXTRACT = TraceContextTextMapPropagator().extract
# It would log a line for each header that somebody has got wrong, with what stands in it.
logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)


class _Record(Protocol):
    @property
    def headers(self) -> Headers: ...


_R = TypeVar("_R", bound=_Record)


def sampled_records(records: Iterable[_R]) -> Iterator[tuple[_R, SpanContext]]:
    """Those of ``records`` that come from a span which is sampled, with that span."""
    for record in records:  # runs for every event, so nothing is called before there is a reason to
        for name, value in record.headers:
            if name == "traceparent" and value and value[_FLAGS : _FLAGS + 1] in _SAMPLED:
                found = sampled_context(record.headers)
                if found is not None:
                    yield record, found
                break


def sampled_context(
    headers: Iterable[tuple[str | bytes, str | bytes | None]],
) -> SpanContext | None:
    """The span that the headers name, if they name one and it is sampled.

    Where a header comes twice, the last one counts. Names are in lower case.
    """
    parent: str | bytes | None = None
    state: str | bytes | None = None
    for name, value in headers:
        if name in ("traceparent", b"traceparent"):
            parent = value
        elif name in ("tracestate", b"tracestate"):
            state = value
    parent_text = _text(parent)
    if len(parent_text) < _LENGTH or parent_text[_FLAGS] not in _SAMPLED_TEXT:
        return None
    carrier = {"traceparent": parent_text, "tracestate": _text(state)}
    span = get_current_span(_EXTRACT(carrier)).get_span_context()
    return span if span.is_valid and span.trace_flags.sampled else None


def _text(value: str | bytes | None) -> str:
    """Empty for what is missing, too long or no ASCII."""
    if not value or len(value) > _LONGEST:
        return ""
    if isinstance(value, str):
        return value if value.isascii() else ""
    return value.decode() if value.isascii() else ""
