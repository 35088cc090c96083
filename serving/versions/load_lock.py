"""Replicas of one machine make a version ready one after another.

Each would otherwise take a core of its own at the same moment, when all of them look at the same
pointer, and leave none to requests.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_LOOK_S = 0.005

Turn = Callable[[], contextlib.AbstractContextManager[None]]
"""What to do something inside of when it is one's turn."""


class Turns:
    """A lock on a file that replicas share; the system lets go of it with a process that dies.

    Nobody waits longer than ``longest_s``: then two are at work at once, as they may be.
    """

    def __init__(self, path: Path, longest_s: float = 0.3) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._longest_s = longest_s

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Wait for the turn, and end it afterwards. Raises what opening the file raises."""
        until = time.monotonic() + self._longest_s
        with self._path.open("ab") as file:
            while not _taken(file.fileno()) and time.monotonic() < until:
                time.sleep(_LOOK_S)
            yield  # closing the file ends the turn


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
