"""A folder that is looked at many times a second and seldom changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

_SETTLED_NS = 1_000_000_000


class WatchedFolder:
    """The names in a folder, read anew only where its time of change says that they may differ.

    File systems tell that time in ticks of some milliseconds, so names that were read soon after
    it may be older than a change in the same tick; they are read again until it has settled.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self._names: Sequence[str] = ()

    def names(self) -> Sequence[str]:
        """The names; the same object as before where nothing changed. ``OSError`` as it comes."""
        about = self._folder.stat()
        seen = (about.st_ino, about.st_mtime_ns)
        if seen != self._seen:
            settled = time.time_ns() - about.st_mtime_ns > _SETTLED_NS
            self._names = [entry.name for entry in self._folder.iterdir()]
            self._seen = seen if settled else None
        return self._names
