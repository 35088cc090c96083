"""One RocksDB directory, read while another process writes it (RocksDB's *secondary* mode)."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from rocksdict import AccessType, Options, Rdict

from everfresh.adapters.state.directory_cache import DirectoryCache

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0
_LOG_BYTES = 1_000_000
# A catch-up at the moment when the writer moves its log into a file can miss the newest writes
# without an error. The next catch-up does not miss them, so each change is followed by two.
_ROUNDS = 2

# The writer's log files and manifests with their sizes: they differ once the writer wrote.
_Signature = Sequence[tuple[str, int]]
# Tells one database from another: content, inode and time of the file IDENTITY. A state restored
# from a snapshot has the content of the lost one, but its file is a new one.
_Identity = tuple[bytes, int, int]


class Secondary:
    """Follows one directory. Opens it once it is complete, and again after it was replaced.

    :meth:`catch_up` is called by one thread, :meth:`get` by any. ``revision`` grows each time the
    values that :meth:`get` returns may have changed. ``behind`` says that what the writer wrote
    since could not be applied: then the values are older than its marks say.
    """

    def __init__(self, folder: Path, private: Path) -> None:
        self.revision = 0
        self.behind = False
        self._folder = folder
        self._directory = DirectoryCache(folder)
        self._names: Sequence[str] = ()
        self._followed: list[tuple[str, Path]] = []
        self._current: _Identity | None = None
        self._private = private
        self._database: Rdict | None = None
        self._identity: _Identity | None = None
        self._signature: _Signature = ()
        self._rounds = 0
        self._opened = 0
        self._in_use: Path | None = None
        self._retry_at = 0.0

    def get(self, key: bytes) -> bytes | None:
        """The value as of the last :meth:`catch_up`."""
        # A local name keeps the database open while it is read, also if it is replaced meanwhile.
        database = self._database
        value: bytes | None = None if database is None else database.get(key)
        return value

    def catch_up(self) -> bool:
        """Apply what the writer wrote since; returns whether there is anything to read.

        A directory that vanished keeps its last content until another takes its place.
        """
        identity, signature = self._inspect()
        if identity is None or (self.behind and time.monotonic() < self._retry_at):
            return self._database is not None
        if signature != self._signature:
            # Taken before the catch-up, so that a write during it shows as another difference.
            self._signature, self._rounds = signature, 0
        if self._database is None or identity != self._identity:
            self._reopen(identity)
        elif self.behind or self._rounds < _ROUNDS:
            self._rounds += 1
            try:
                self._database.try_catch_up_with_primary()
                self.revision += 1
                self.behind = False
            except Exception as error:  # rocksdict raises plain Exception for every cause
                # The writer may have removed files before they were opened here.
                if not self.behind:
                    _LOG.info("reopening %s: %s", self._folder, error)
                self._reopen(identity)
        return self._database is not None

    def _inspect(self) -> tuple[_Identity | None, _Signature]:
        try:
            names = self._directory.names()
            if names is not self._names:
                self._scan(names)
            sizes = [(name, path.stat().st_size) for name, path in self._followed]
        except OSError:
            # Being created, replaced or rotated at this moment; the next call sees the result.
            self._names = ()
            return None, ()
        return self._current, sizes

    def _scan(self, names: Sequence[str]) -> None:
        """Note the identity and the files to follow; ``OSError`` for an incomplete database."""
        self._current, self._followed = None, []
        if "CURRENT" in names:
            identity = self._folder / "IDENTITY"
            status = identity.stat()
            self._followed = [
                (name, self._folder / name)
                for name in names
                if name.endswith(".log") or name.startswith("MANIFEST")
            ]
            self._current = (identity.read_bytes(), status.st_ino, status.st_mtime_ns)
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
        try:
            private.mkdir(parents=True)
            opened = Rdict(
                str(self._folder), options, access_type=AccessType.secondary(str(private))
            )
        except Exception as error:  # rocksdict raises plain Exception for every cause
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            shutil.rmtree(private, ignore_errors=True)
            if self._database is None:
                _LOG.info("%s cannot be opened yet: %s", self._folder, error)
            elif not self.behind:
                _LOG.warning(
                    "%s cannot be followed, so what is read of it grows old: %s",
                    self._folder,
                    error,
                )
            self.behind = self._database is not None
            return
        former, self._in_use = self._in_use, private
        self._database, self._identity = opened, identity
        self.behind = False
        self.revision += 1
        if former is not None:
            shutil.rmtree(former, ignore_errors=True)
