"""One RocksDB directory, read beside the process that writes it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from rocksdict import AccessType, Options, Rdict

from everfresh.adapters.state.directory_cache import WatchedFolder

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0
_LOG_BYTES = 1_000_000
# Catching up while the writer moves its log into a file can miss the newest writes, without an
# error; the next time does not. So each change is followed by two.
_ROUNDS = 2

# What tells that the writer wrote: its log files and manifests, with their sizes.
_Signature = Sequence[tuple[str, int]]
# What tells one database from another. A state that came back from a snapshot names itself as the
# lost one did, so the file that says so counts as well: it is written when a database is made.
_Identity = tuple[bytes, int, int]


class Secondary:
    """Follows one directory; opens it when it is complete, and anew when it was replaced.

    :meth:`catch_up` is called by one thread, :meth:`get` by any. ``moves`` grows after each moment
    at which what :meth:`get` finds may have changed.
    """

    def __init__(self, folder: Path, private: Path) -> None:
        self.moves = 0
        self._folder = folder
        self._watched = WatchedFolder(folder)
        self._names: Sequence[str] = ()
        self._followed: list[tuple[str, Path]] = []
        self._found: _Identity | None = None
        self._private = private
        self._database: Rdict | None = None
        self._identity: _Identity | None = None
        self._signature: _Signature = ()
        self._rounds = 0
        self._opened = 0
        self._retry_at = 0.0

    def get(self, key: bytes) -> bytes | None:
        """The value as of the last :meth:`catch_up`."""
        # A local name keeps the database open while it is read, also if it is replaced meanwhile.
        database = self._database
        value: bytes | None = None if database is None else database.get(key)
        return value

    def catch_up(self) -> bool:
        """See what the writer wrote; whether there is anything to read.

        A directory that vanished keeps its last content until another takes its place.
        """
        identity, signature = self._look()
        if identity is None:
            return self._database is not None
        if signature != self._signature:
            # Taken before we catch up: what is written meanwhile shows as another difference.
            self._signature, self._rounds = signature, 0
        if self._database is None or identity != self._identity:
            self._reopen(identity)
        elif self._rounds < _ROUNDS:
            self._rounds += 1
            try:
                self._database.try_catch_up_with_primary()
                self.moves += 1
            except Exception as error:  # rocksdict raises plain Exception for every cause
                # The writer may have removed files that we had not opened yet.
                _LOG.info("reopening %s: %s", self._folder, error)
                self._reopen(identity)
        return self._database is not None

    def _look(self) -> tuple[_Identity | None, _Signature]:
        try:
            names = self._watched.names()
            if names is not self._names:
                self._find(names)
            sizes = [(name, path.stat().st_size) for name, path in self._followed]
        except OSError:
            # Being made, replaced or rotated at this moment; the next look tells.
            self._names = ()
            return None, ()
        return self._found, sizes

    def _find(self, names: Sequence[str]) -> None:
        """Who the database is, and what to follow; ``OSError`` where it is not complete."""
        self._found, self._followed = None, []
        if "CURRENT" in names:
            said = self._folder / "IDENTITY"
            about = said.stat()
            self._followed = [
                (name, self._folder / name)
                for name in names
                if name.endswith(".log") or name.startswith("MANIFEST")
            ]
            self._found = (said.read_bytes(), about.st_ino, about.st_mtime_ns)
        self._names = names

    def _reopen(self, identity: _Identity) -> None:
        if time.monotonic() < self._retry_at:
            return
        self._opened += 1
        options = Options(raw_mode=True)
        # Files stay open, so that those the writer removes can still be read.
        options.set_max_open_files(-1)
        options.set_max_log_file_size(_LOG_BYTES)
        options.set_keep_log_file_num(1)
        private = self._private / str(self._opened)
        private.mkdir(parents=True)
        try:
            opened = Rdict(
                str(self._folder), options, access_type=AccessType.secondary(str(private))
            )
        except Exception as error:  # rocksdict raises plain Exception for every cause
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            _LOG.info("%s cannot be opened yet: %s", self._folder, error)
            return
        self._database, self._identity = opened, identity
        self.moves += 1
