"""Names of windows and versions in traces, computed from what they are (decision 58).

Whoever knows a window knows the ids of its trace: worker, trainer and every replica, before and
after any restart. So no id is written into state, slices or versions, and what these hold is the
same whether traces are on or off.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from everfresh.contracts.window import Place


class SpanName(NamedTuple):
    """The ids of one span, as OpenTelemetry has them: 128 and 64 bits, never 0."""

    trace_id: int
    span_id: int


class TraceNames:
    """Of one loop: ``cluster`` is Kafka's own id, ``topic`` the events topic's full name."""

    def __init__(self, cluster: str, topic: str) -> None:
        self._loop = (cluster, topic)

    def window(self, place: Place) -> SpanName:
        """The trace of a window, and the span at its root."""
        label, cut = place
        window = ("window", str(label), str(cut))
        return SpanName(self._number(16, *window), self._number(8, "root", *window))

    def version(self, place: Place, track: str, version: int) -> SpanName:
        """The span of the version that ``track`` trained on a window, in that window's trace."""
        label, cut = place
        span_id = self._number(8, "version", str(label), str(cut), track, str(version))
        return SpanName(self.window(place).trace_id, span_id)

    def _number(self, size: int, *parts: str) -> int:
        # No part holds a NUL, so equal bytes mean equal parts.
        digest = hashlib.sha256("\0".join((*self._loop, *parts)).encode()).digest()
        return int.from_bytes(digest[:size], "big") or 1
