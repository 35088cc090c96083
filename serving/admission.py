"""Back-pressure: how many requests may be under way, and how long one may wait for its turn."""

from __future__ import annotations

import threading
from collections.abc import Callable

from everfresh.contracts.ports import Clock
from everfresh.serving.http import problems


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

    def visit(self) -> Visit:
        """One request's stay, to be used by ``with``; ``Problem`` 503 where too many are inside."""
        return Visit(self)

    def enter(self) -> int:
        """Let one in, or ``Problem`` 503; the time now."""
        with self._lock:
            if self._inside >= self._limit:
                self.refused += 1
                raise problems.overloaded(self._limit)
            self._inside += 1
        return self._clock()

    def leave(self) -> None:
        """One that was let in is gone."""
        with self._lock:
            self._inside -= 1

    def turn(self, entered: int) -> None:
        """``Problem`` 503 where who came in at ``entered`` has waited too long."""
        if self._clock() - entered > self.timeout_ms:
            with self._lock:
                self.refused += 1
            raise problems.too_late(self.timeout_ms)


class Visit:
    """A stay inside a gate; entering it gives what is to be called once the turn has come.

    That raises ``Problem`` 503 where it took too long. A class, as every request pays for it.
    """

    __slots__ = ("_entered", "_gate")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._entered = 0

    def __enter__(self) -> Callable[[], None]:
        """Come in; ``Problem`` 503 where too many are inside."""
        self._entered = self._gate.enter()
        return self._turn

    def __exit__(self, *_: object) -> None:
        """Go."""
        self._gate.leave()

    def _turn(self) -> None:
        self._gate.turn(self._entered)
