"""A lock on a file: replicas of one machine load a version one after another.

All of them look at the same pointer. Without the lock each would take a core of its own at the same
moment, and leave none to requests.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_LOOK_S = 0.005

LoadGuard = Callable[[], contextlib.AbstractContextManager[None]]
"""Gives the context in which a version is loaded, such as a :class:`LoadLock`."""


class LoadLock:
    """A lock on a file that replicas share; the system releases it with a process that dies.

    Nobody waits longer than ``longest_s``. Then two replicas load at once, which costs time and
    breaks nothing.
    """

    def __init__(self, path: Path, longest_s: float = 0.3) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._longest_s = longest_s

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Wait for the lock, and release it afterwards. Raises what opening the file raises."""
        until = time.monotonic() + self._longest_s
        with self._path.open("ab") as file:
            while not _locked(file.fileno()) and time.monotonic() < until:
                time.sleep(_LOOK_S)
            yield  # closing the file releases the lock


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
