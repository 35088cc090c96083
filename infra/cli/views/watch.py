"""Follows a run through its ``status`` and ``reports`` topics, for the views."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from types import TracebackType
from typing import Self

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.kafka.topics import end_offsets
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, topic_name
from everfresh.infra.cli.views.live import Snapshot
from everfresh.infra.cli.views.observed import Observed

_RATE_S = 5.0
_LETTERS_S = 3.0


class Rate:
    """Events per second over the last seconds, from a growing count."""

    def __init__(self, span_s: float = _RATE_S) -> None:
        self._span_s = span_s
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, count: int) -> None:
        """The count at a monotonic time; a count that shrank (a restart) begins anew."""
        if self._points and count < self._points[-1][1]:
            self._points.clear()
        self._points.append((now_s, count))
        while len(self._points) > 2 and now_s - self._points[1][0] > self._span_s:
            self._points.popleft()

    @property
    def per_s(self) -> float:
        """0 before the second point."""
        if len(self._points) < 2:
            return 0.0
        (since, low), (now, high) = self._points[0], self._points[-1]
        return (high - low) / (now - since) if now > since else 0.0


class Watch:
    """What the loop says, as :class:`Observed`; a broker that is away for a while is no error.

    Used by one thread. ``from_end`` leaves out what earlier runs said.
    """

    def __init__(self, settings: Settings, *, from_end: bool = False) -> None:
        self.observed = Observed(settings.serving.replicas)
        self.rate = Rate()
        self._settings = settings
        self._from_end = from_end
        self._tail: RecordTail | None = None
        self._letters, self._letters_due = 0, 0.0

    def poll(self, timeout_ms: int) -> None:
        """Take what is new; returns after at most about the timeout."""
        try:
            records = self._connected().poll(timeout_ms)
        except Unreachable:
            self.close()
            time.sleep(timeout_ms / 1000)
            return
        for record in records:
            if isinstance(record, WindowReport):
                self.observed.window(record)
            elif isinstance(record, ComponentStatus):
                self.observed.status(record)
        self.rate.add(time.monotonic(), self.observed.total("worker", "applied"))

    def snapshot(self, title: str, phase: str, elapsed_s: float) -> Snapshot:
        """What the view shows of the loop itself."""
        seen = self.observed
        p50, p99 = seen.freshness(0.5, 0.99)
        return Snapshot(
            title=title,
            phase=phase,
            elapsed_s=elapsed_s,
            sent=0,
            total=0,
            events_per_s=self.rate.per_s,
            lag=seen.total("worker", "lag"),
            windows=seen.windows,
            backlog=seen.total("trainer", "backlog"),
            dead_letters=self.dead_letters(),
            versions={
                one.component: int(one.figures.get("version") or 0)
                for one in seen.components("replica", time.time_ns() // 1_000_000)
            },
            freshness_p50_s=p50,
            freshness_p99_s=p99,
        )

    def dead_letters(self) -> int:
        """Records of the dead-letter topic; asked for every few seconds, else the last answer."""
        now_s = time.monotonic()
        if now_s >= self._letters_due:
            self._letters_due = now_s + _LETTERS_S
            kafka = self._settings.kafka
            topic = topic_name(kafka.topic_prefix, DEAD_LETTERS)
            with contextlib.suppress(Unreachable):
                ends = end_offsets(kafka.bootstrap_servers, topic)
                self._letters = sum(ends.values())
        return self._letters

    def close(self) -> None:
        """End the connection."""
        if self._tail is not None:
            with contextlib.suppress(Exception):  # a broker that has gone cannot be parted from
                self._tail.close()
            self._tail = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _connected(self) -> RecordTail:
        if self._tail is None:
            kafka = self._settings.kafka
            self._tail = RecordTail(
                kafka.bootstrap_servers, kafka.topic_prefix, from_end=self._from_end
            )
        return self._tail
