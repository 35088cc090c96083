"""Back-pressure: how many requests may be under way, and how long one may wait to be worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from everfresh.contracts.ports import Clock
from everfresh.serving.requests import problems


class Admission:
    """Admits ``limit`` requests at once and refuses the rest, rather than queueing without end.

    Answering is work for the processor, one request after the other; an admitted request waits in
    this process. ``refused`` counts both kinds of refusal. Thread-safe.
    """

    def __init__(self, limit: int, timeout_ms: int, clock: Clock) -> None:
        self.timeout_ms = timeout_ms
        self.refused = 0
        self._limit = limit
        self._clock = clock
        self._admitted = 0
        self._lock = threading.Lock()

    def slot(self) -> Slot:
        """A place for one request, to be used by ``with``; ``Problem`` 503 where none is left."""
        return Slot(self)

    def enter(self) -> int:
        """Admit one request, or ``Problem`` 503; the time now."""
        with self._lock:
            if self._admitted >= self._limit:
                self.refused += 1
                raise problems.overloaded(self._limit)
            self._admitted += 1
        return self._clock()

    def leave(self) -> None:
        """A request that was admitted is done."""
        with self._lock:
            self._admitted -= 1

    def require_in_time(self, entered: int) -> None:
        """``Problem`` 503 where a request admitted at ``entered`` has waited too long."""
        if self._clock() - entered > self.timeout_ms:
            with self._lock:
                self.refused += 1
            raise problems.too_late(self.timeout_ms)


class Slot:
    """A place for one request; entering it gives what to call right before the work begins.

    That raises ``Problem`` 503 where the request waited too long. It is a class rather than a
    context manager made of a generator, as every request pays for it.
    """

    __slots__ = ("_admission", "_entered")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._entered = 0

    def __enter__(self) -> Callable[[], None]:
        """Take the place; ``Problem`` 503 where too many requests are under way."""
        self._entered = self._admission.enter()
        return self._require_in_time

    def __exit__(self, *_: object) -> None:
        """Give the place back."""
        self._admission.leave()

    def _require_in_time(self) -> None:
        self._admission.require_in_time(self._entered)
