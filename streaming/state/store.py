"""Stores one partition's state: in RocksDB on disk, or in a dict with the same behaviour.

Keys are bytes: the readable part of the layout is in ``contracts.sequence`` (``META_KEY`` and
``USER_PREFIX``), the worker's private part in ``streaming.state.key_layout``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from rocksdict import (
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteOptions,
)
from rocksdict import (
    WriteBatch as RocksBatch,
)

from everfresh.contracts.errors import StateError, StateLocked

_BLOOM_BITS = 10  # 1 % false positives; the framework's default of 3 bits reads one block in six
_LOG_FILES = 2
_log = logging.getLogger("everfresh.streaming")
_WAL_FACTOR = 4

ReadMany = Callable[[Sequence[bytes]], list[bytes | None]]
"""Looks keys up: one value per key, in order."""


class PartitionStore(Protocol):
    """Called by the owner of one partition, from one thread. Nothing is called after ``close``."""

    def get(self, key: bytes) -> bytes | None:
        """The value, ``None`` where there is none."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """One value per key, in order."""

    def scan(self, prefix: bytes, begin: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All pairs whose key starts with ``prefix``, in key order, as of the call.

        ``begin`` is a key with that prefix from which on to look, where the caller knows of one:
        what was deleted before it costs nothing then.
        """

    def write(
        self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = (), *, sync: bool = True
    ) -> None:
        """Apply all or nothing; durable on return with ``sync``. Deletes come before puts."""

    def drop(self, prefix: bytes) -> None:
        """Delete all keys that start with ``prefix``, however many; durable on return."""

    def close(self) -> None:
        """Release the directory at once, for this process and others. Harmless twice."""


def block_cache(megabytes: int) -> Cache:
    """One cache to share among the stores of a process."""
    return Cache(megabytes * 1024 * 1024)


class RocksStore:
    """A RocksDB directory. Creates it where absent.

    Raises :class:`StateLocked` where another process has it open, :class:`StateError` where
    RocksDB cannot read it. ``on_write`` is called with the seconds that each durable write took.
    """

    def __init__(
        self,
        path: Path,
        cache: Cache,
        write_buffer_mb: int,
        on_write: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._on_write = on_write
        self._sync = WriteOptions()
        self._sync.sync = True
        self._lazy = WriteOptions()
        self._db: Rdict | None = None
        try:
            self._db = Rdict(str(path), _options(cache, write_buffer_mb))
        except Exception as error:  # rocksdict raises plain Exception for every cause
            raise _opening_error(path, str(error)) from None

    def get(self, key: bytes) -> bytes | None:
        """See :class:`PartitionStore`."""
        value: bytes | None = self._open().get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See :class:`PartitionStore`."""
        if not keys:
            return []
        return cast(list[bytes | None], self._open().get(list(keys)))

    def scan(self, prefix: bytes, begin: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """See :class:`PartitionStore`."""
        # Without a bound it would go on through all that was deleted behind the last one, to see
        # that what comes next has another prefix.
        bounded = ReadOptions()
        if end := _behind(prefix):
            bounded.set_iterate_upper_bound(end)
        pairs: Any = self._open().items(from_key=begin or prefix, read_opt=bounded)
        yield from pairs

    def write(
        self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = (), *, sync: bool = True
    ) -> None:
        """See :class:`PartitionStore`."""
        batch = RocksBatch(raw_mode=True)
        for key in deletes:
            batch.delete(key)
        for key, value in puts.items():
            batch.put(key, value)
        database, began = self._open(), time.perf_counter()
        try:
            database.write(batch, self._sync if sync else self._lazy)
        except Exception as error:  # rocksdict raises plain Exception for every cause
            raise StateError(
                f"the state in {self.path} cannot be written ({error}); make room on that disk or "
                "mend it, then start the worker again: nothing is lost, and nothing half written"
            ) from None
        if sync:
            self._on_write(time.perf_counter() - began)

    def drop(self, prefix: bytes) -> None:
        """See :class:`PartitionStore`."""
        batch = RocksBatch(raw_mode=True)
        batch.delete_range(prefix, _behind(prefix))
        self._open().write(batch, self._sync)

    def checkpoint(self, folder: Path) -> None:
        """Make ``folder``, on the same file system, a state of its own: this one as it is now.

        Files are linked, not copied; what is in memory is written out first.
        """
        try:
            Checkpoint(self._open()).create_checkpoint(str(folder))
        except Exception as error:  # rocksdict raises plain Exception for every cause
            raise StateError(f"no checkpoint of {self.path} in {folder}: {error}") from None

    def close(self) -> None:
        """See :class:`PartitionStore`."""
        db, self._db = self._db, None
        if db is not None:
            # The lock goes with the last reference; close() alone keeps it in this process.
            try:
                db.close()
            except Exception as error:  # rocksdict raises plain Exception for every cause
                # After a write that failed. What was promised to be durable is; the rest is redone.
                _log.warning("closing the state in %s: %s", self.path, error)
            del db

    def _open(self) -> Rdict:
        if self._db is None:
            raise StateError(f"the state in {self.path} is closed")
        return self._db


class MemoryStore:
    """The same in a dict, for tests and scenarios. ``pairs`` outlives ``close``, as a disk does."""

    def __init__(self, pairs: dict[bytes, bytes] | None = None) -> None:
        self.pairs = {} if pairs is None else pairs
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """See :class:`PartitionStore`."""
        self._check()
        return self.pairs.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See :class:`PartitionStore`."""
        self._check()
        return [self.pairs.get(key) for key in keys]

    def scan(self, prefix: bytes, begin: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """See :class:`PartitionStore`."""
        self._check()
        pairs = (pair for pair in self.pairs.items() if pair[0].startswith(prefix))
        return iter(sorted(pair for pair in pairs if pair[0] >= begin))

    def write(
        self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = (), *, sync: bool = True
    ) -> None:
        """See :class:`PartitionStore`."""
        self._check()
        for key in deletes:
            self.pairs.pop(key, None)
        self.pairs.update(puts)

    def drop(self, prefix: bytes) -> None:
        """See :class:`PartitionStore`."""
        self.write({}, [key for key in self.pairs if key.startswith(prefix)])

    def close(self) -> None:
        """See :class:`PartitionStore`."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise StateError("the state in memory is closed")


def _behind(prefix: bytes) -> bytes:
    """The first key behind all that start with ``prefix``; empty where there can be none."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else b""


def _options(cache: Cache, write_buffer_mb: int) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_bloom_filter(_BLOOM_BITS, False)
    table.set_cache_index_and_filter_blocks(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    # Compressing took a tenth of the worker's time and saved a quarter of what it writes.
    options.set_compression_type(DBCompressionType.none())
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(write_buffer_mb * 1024 * 1024)
    options.set_max_total_wal_size(_WAL_FACTOR * write_buffer_mb * 1024 * 1024)
    options.set_keep_log_file_num(_LOG_FILES)
    return options


def _opening_error(path: Path, text: str) -> StateError:
    if "lock" in text.lower():
        return StateLocked(
            f"another process has the state in {path} open; stop that worker, or give this one "
            "another home"
        )
    remedy = "delete that directory to rebuild it from the log"
    if "no space" in text.lower():
        remedy = "make room on that disk, then start the worker again"
    return StateError(f"RocksDB cannot open the state in {path} ({text}); {remedy}")
