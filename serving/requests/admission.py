"""Back-pressure: how many requests may be under way, and how long one may wait to be worked on."""

from __future__ import annotations

import threading
from collections.abc import Awaitable
from typing import TypeVar

from everfresh.contracts.ports import Clock
from everfresh.serving.requests import problems

_Come = TypeVar("_Come")


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
        """A request that was admitted is done, or waits."""
        with self._lock:
            self._admitted -= 1

    def go_on(self) -> None:
        """A request that was admitted has waited; it has a place, however many have come."""
        with self._lock:
            self._admitted += 1

    def require_in_time(self, entered: int) -> None:
        """``Problem`` 503 where a request admitted at ``entered`` has waited too long."""
        if self._clock() - entered > self.timeout_ms:
            with self._lock:
                self.refused += 1
            raise problems.too_late(self.timeout_ms)


class Slot:
    """A place for one request, to be taken by ``with``. It is a class rather than a context manager
    made of a generator, as every request pays for it.
    """

    __slots__ = ("_admission", "_entered")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._entered = 0

    def __enter__(self) -> Slot:
        """Take the place; ``Problem`` 503 where too many requests are under way."""
        self._entered = self._admission.enter()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the place back."""
        self._admission.leave()

    def require_in_time(self) -> None:
        """To be called right before work begins: ``Problem`` 503 where it waited too long."""
        self._admission.require_in_time(self._entered)

    async def off(self, coming: Awaitable[_Come]) -> _Come:
        """What comes; meanwhile another request may have the place."""
        self._admission.leave()
        try:
            return await coming
        finally:
            self._admission.go_on()
