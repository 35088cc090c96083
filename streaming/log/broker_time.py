"""The broker's time, as far as this machine can prove it.

The periods of windows are those of broker append time (law 3), so that they are over when the
broker's clock says so. This machine's clock may be hours off or jump, and is not asked: a record is
written now and then, and the append time in its acknowledgement, plus what a monotonic clock has
counted since, is never later than the broker's own time. Pure; readings come in.
"""

from __future__ import annotations


class BrokerTime:
    """A lower bound of the broker's clock, in UTC ms. ``ticks_ms`` are of a monotonic clock."""

    def __init__(self) -> None:
        self._append_ms = 0
        self._ticks_ms: int | None = None

    def note(self, append_ms: int, ticks_ms: int) -> None:
        """A record that was appended at ``append_ms`` has been acknowledged by ``ticks_ms``."""
        self._append_ms, self._ticks_ms = append_ms, ticks_ms

    def now(self, ticks_ms: int) -> int | None:
        """The broker's time is this or later; ``None`` before the first acknowledgement."""
        if self._ticks_ms is None:
            return None
        return self._append_ms + ticks_ms - self._ticks_ms
