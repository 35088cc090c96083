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
from everfresh.infra.cli.views.live_screen import Snapshot
from everfresh.infra.cli.views.run_reports import RunReports

_RATE_S = 5.0
_DEAD_LETTERS_S = 3.0


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


class RunFollower:
    """Keeps :class:`RunReports` up to date; a broker that is away for a while is no error.

    Used by one thread. ``from_end`` leaves out what earlier runs reported; ``most`` is how many
    windows are kept. ``heard_s`` is the monotonic time at which Kafka last gave what is followed,
    and ``trouble`` why it has not since.
    """

    def __init__(
        self, settings: Settings, *, from_end: bool = False, most: int | None = None
    ) -> None:
        self.reports = RunReports(settings.serving.replica_range.least, most)
        self.rate = Rate()
        self._settings = settings
        self._from_end = from_end
        self._tail: RecordTail | None = None
        self._dead_letters, self._dead_letters_due = 0, 0.0
        self._refused = False
        self.heard_s, self.trouble = time.monotonic(), ""

    def poll(self, timeout_ms: int) -> None:
        """Take what is new; returns after at most about the timeout."""
        try:
            records = self._connected().poll(timeout_ms)
        except Unreachable as error:
            self._refused, self.trouble = True, str(error)
            self.close()
            time.sleep(timeout_ms / 1000)
            return
        self._refused = False
        if records:
            self._heard()
        for record in records:
            if isinstance(record, WindowReport):
                self.reports.window(record)
            elif isinstance(record, ComponentStatus):
                self.reports.status(record)
        self.rate.add(time.monotonic(), self.reports.total("worker", "applied"))

    def snapshot(self, title: str, phase: str, elapsed_s: float) -> Snapshot:
        """What the live screen shows of the loop itself."""
        reports = self.reports
        p50, p99 = reports.freshness(0.5, 0.99)
        return Snapshot(
            title=title,
            phase=phase,
            elapsed_s=elapsed_s,
            sent=0,
            total=0,
            events_per_s=self.rate.per_s,
            lag=reports.total("worker", "lag"),
            windows=reports.windows,
            backlog=reports.total("trainer", "backlog"),
            dead_letters=self.dead_letters(),
            versions={
                status.component: int(status.figures.get("version") or 0)
                for status in reports.components("replica", time.time_ns() // 1_000_000)
            },
            freshness_p50_s=p50,
            freshness_p99_s=p99,
            trained=reports.trained,
        )

    def dead_letters(self) -> int:
        """Number of dead letters, looked up every few seconds."""
        now_s = time.monotonic()
        if now_s >= self._dead_letters_due:
            self._dead_letters_due = now_s + _DEAD_LETTERS_S
            kafka = self._settings.kafka
            topic = topic_name(kafka.topic_prefix, DEAD_LETTERS)
            try:
                self._dead_letters = sum(end_offsets(kafka.brokers, topic).values())
            except Unreachable as error:
                self.trouble = str(error)
            else:
                # Who may read this topic may not therefore read those that are followed.
                if not self._refused:
                    self._heard()
        return self._dead_letters

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

    def _heard(self) -> None:
        self.heard_s, self.trouble = time.monotonic(), ""

    def _connected(self) -> RecordTail:
        if self._tail is None:
            kafka = self._settings.kafka
            self._tail = RecordTail(kafka.brokers, kafka.topic_prefix, from_end=self._from_end)
        return self._tail
