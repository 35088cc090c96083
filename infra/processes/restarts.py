"""Decides when a component that died is restarted and when the run gives up. Time is given."""

from __future__ import annotations

from collections import deque


class RestartPolicy:
    """At most ``limit`` restarts of one component in any ``period_s`` seconds, each after a pause
    that doubles with every restart in that period, from ``first_s`` to at most ``longest_s``."""

    def __init__(
        self,
        limit: int = 5,
        period_s: float = 120.0,
        first_s: float = 0.5,
        longest_s: float = 8.0,
    ) -> None:
        self._limit = limit
        self._period_s = period_s
        self._first_s = first_s
        self._longest_s = longest_s
        self._deaths: dict[str, deque[float]] = {}

    def pause_after_death(self, name: str, now_s: float) -> float | None:
        """Seconds to wait before the next start, or ``None``: it has died too often."""
        deaths = self._deaths.setdefault(name, deque())
        while deaths and now_s - deaths[0] >= self._period_s:
            deaths.popleft()
        if len(deaths) >= self._limit:
            return None
        deaths.append(now_s)
        return float(min(self._longest_s, self._first_s * 2 ** (len(deaths) - 1)))
