"""Freshness: the time from an event's append until a version trained on it is live everywhere.

Pure. A window's events are as fresh as the moment at which the version trained on them answered on
*every* replica; before that a request may still be answered without them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from everfresh.contracts.report import WindowReport

SILENT_MS = 10_000
"""A replica without a status for so long is gone; its replacement counts in its place."""


class LiveVersions:
    """When each version was live on all of at least ``expected`` replicas.

    A replica that skipped a version, or whose status was not seen while it had it, reached it when
    it reached the next one seen: never too early. Once a version has been live everywhere, replicas
    that come later do not change when that was. Only the last ``most`` versions are remembered, if
    a number is given.
    """

    def __init__(self, expected: int, most: int | None = None) -> None:
        self._expected = expected
        self._most = most
        self._steps: dict[str, list[tuple[int, int]]] = {}
        self._last_status: dict[str, int] = {}
        self._everywhere: list[tuple[int, int]] = []

    def seen(self, replica: str, now_ms: int, version: int | None, since_ms: int | None) -> None:
        """A replica's status at ``now_ms``: it has answered with ``version`` since ``since_ms``."""
        self._last_status[replica] = now_ms
        steps = self._steps.setdefault(replica, [])
        if version and (not steps or version > steps[-1][0]):
            steps.append((version, now_ms if since_ms is None else since_ms))
            self._trim(steps)
        newest = max(self._last_status.values())
        silent = [name for name, at in self._last_status.items() if newest - at > SILENT_MS]
        for name in silent:
            self.gone(name)
        self._settle()

    def gone(self, replica: str) -> None:
        """It stopped; others decide from here on."""
        self._last_status.pop(replica, None)
        self._steps.pop(replica, None)

    def everywhere_since(self, version: int) -> int | None:
        """UTC ms from which every replica answered with ``version`` or a later one."""
        at = bisect_left(self._everywhere, (version, -1))
        return self._everywhere[at][1] if at < len(self._everywhere) else None

    def _settle(self) -> None:
        if len(self._steps) < self._expected or not all(self._steps.values()):
            return
        reached = min(steps[-1][0] for steps in self._steps.values())
        last = self._everywhere[-1][0] if self._everywhere else 0
        # Versions that no replica stopped at became live with the next one at which one did.
        stops = {
            version
            for steps in self._steps.values()
            for version, _ in steps[bisect_left(steps, (last + 1, -1)) :]
            if version <= reached
        }
        for version in sorted(stops):
            moments = (_first(steps, version) for steps in self._steps.values())
            self._everywhere.append((version, max(moments)))
        self._trim(self._everywhere)

    def _trim(self, steps: list[tuple[int, int]]) -> None:
        if self._most is not None:
            del steps[: -self._most]


def _first(steps: Sequence[tuple[int, int]], version: int) -> int:
    return steps[bisect_left(steps, (version, -1))][1]


def weighted_quantile(samples: Iterable[tuple[float, float]], q: float) -> float | None:
    """The least value at or below which a share ``q`` of the weight lies; samples are
    ``(value, weight)``. ``None`` without samples."""
    ordered = sorted(samples)
    goal = q * sum(weight for _, weight in ordered)
    total = 0.0
    for value, weight in ordered:
        total += weight
        if total >= goal:
            return value
    return ordered[-1][0] if ordered else None


def window_freshness(report: WindowReport, live: LiveVersions) -> list[tuple[float, float]]:
    """``(seconds, events)`` samples of one window; empty while its version is not live everywhere,
    and for a window that the gate held, which no version has learnt.

    The report has percentiles of the append times, so each stands for an equal part of the events.
    """
    since = live.everywhere_since(report.version)
    if since is None or not report.appended or report.held:
        return []
    weight = report.events / len(report.appended)
    return [((since - at) / 1000.0, weight) for at in report.appended]
