"""Stop signals as an exception: the first Ctrl-C, SIGTERM or SIGHUP unwinds the main thread.

An exception at an arbitrary place is safe once, and unsafe while it is being handled. So the
handler raises :class:`Interrupted` at most once, and never after :meth:`Interrupts.closing`.
Later signals only set ``hurry``.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The operator, or the system, asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupts:
    """The stop signals of this process, from :meth:`install` on. ``hurry`` is set by the second."""

    def __init__(self) -> None:
        self.hurry = threading.Event()
        self.received: int | None = None
        self._closing = False

    def install(self) -> None:
        """Handle the three signals from now on. Main thread only."""
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def closing(self) -> None:
        """From now on signals raise nothing, because the caller is stopping what it started."""
        self._closing = True

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        first = self.received is None
        if first:
            self.received = number
        else:
            self.hurry.set()
        if first and not self._closing:
            self._closing = True
            raise Interrupted(number)
