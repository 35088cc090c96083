"""Back-pressure: how many requests may be under way, and how long one may wait for its turn."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from contracts.ports import Clock
from serving import problems


class Gate:
    """Lets ``limit`` requests in at once and refuses the rest, rather than queueing without end.

    Answering is work for the processor, one request after the other; what is let in waits in this
    process. ``refused`` counts both kinds of refusal. Thread-safe.
    """

    def __init__(self, limit: int, timeout_ms: int, clock: Clock) -> None:
        self.timeout_ms = timeout_ms
        self.refused = 0
        self._limit = limit
        self._clock = clock
        self._inside = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def visit(self) -> Iterator[Callable[[], None]]:
        """One request's stay; ``Problem`` 503 where too many are inside.

        What it yields is to be called when the request's turn has come: ``Problem`` 503 where that
        took too long.
        """
        entered = self._clock()
        with self._lock:
            if self._inside >= self._limit:
                self.refused += 1
                raise problems.overloaded(self._limit)
            self._inside += 1
        try:
            yield lambda: self._turn(entered)
        finally:
            with self._lock:
                self._inside -= 1

    def _turn(self, entered: int) -> None:
        if self._clock() - entered > self.timeout_ms:
            with self._lock:
                self.refused += 1
            raise problems.too_late(self.timeout_ms)
