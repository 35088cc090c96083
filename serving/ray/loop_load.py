"""How busy the thread is that answers requests, from the kernel's own account of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_ACCOUNT = Path("/proc/thread-self/schedstat")
_MOST_WAITING = 9
"""Waiting counts for so many times of what was run at most: on a crowded machine a loop that has
nothing to do waits long each time that it is woken, and must not be taken for busy."""


def _thread_ns() -> tuple[int, int]:
    """Nanoseconds for which the calling thread has run, and stood ready and waited for a processor.

    The waiting counts: on a busy machine a loop may be at its end with half a processor. Without
    the kernel's account of it, running alone.
    """
    try:
        ran, waited, *_ = _ACCOUNT.read_text().split()
    except (OSError, ValueError):
        return time.thread_time_ns(), 0
    return int(ran), int(waited)


class LoopLoad:
    """Asked on the loop's own thread, now and then; requests pay nothing for it."""

    def __init__(
        self,
        thread_ns: Callable[[], tuple[int, int]] = _thread_ns,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._thread_ns = thread_ns
        self._clock = clock
        self._before: tuple[int, int, int] | None = None

    def share(self) -> float:
        """The share of the time since the last call, 0 to 1, in which the thread had work to do;
        0 at the first."""
        now = (self._clock(), *self._thread_ns())
        before, self._before = self._before or now, now
        passed, ran, waited = (new - old for new, old in zip(now, before, strict=True))
        busy = ran + min(waited, _MOST_WAITING * ran)
        return min(1.0, max(0.0, busy / passed)) if passed > 0 else 0.0
