"""The names in a directory that is read many times a second and seldom changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

_SETTLED_NS = 1_000_000_000  # far longer than a tick of any file system


class DirectoryCache:
    """Reads the directory again only where its modification time says that names may differ.

    File systems keep that time in ticks of some milliseconds. Names read within a tick of a change
    may miss another change in the same tick, so they are read again until the time is a second old.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_at: tuple[int, int] | None = None
        self._names: Sequence[str] = ()

    def names(self) -> Sequence[str]:
        """The names; the same object as before where nothing changed. Passes ``OSError`` on."""
        status = self._folder.stat()
        modified = (status.st_ino, status.st_mtime_ns)
        if modified != self._read_at:
            settled = time.time_ns() - status.st_mtime_ns > _SETTLED_NS
            self._names = [entry.name for entry in self._folder.iterdir()]
            self._read_at = modified if settled else None
        return self._names
