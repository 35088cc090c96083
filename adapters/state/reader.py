"""``HistoryReader`` over the stream worker's RocksDB directories, read beside the live writer.

RocksDB calls a reader of another process's database a *secondary*: it follows the writer's log of
changes when told to. Nothing is copied and no second fold exists, so what serving reads is what the
worker wrote (law 1), some ten milliseconds later.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from everfresh.adapters.state.directory_cache import WatchedFolder
from everfresh.adapters.state.secondary import Secondary
from everfresh.adapters.state.user_state import UserReader, by_likelihood, read_meta
from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import PartitionMeta, StoredSequence, UserState

_LOG = logging.getLogger(__name__)
_PREFIX = "everfresh-reader-"
_REST_S = 0.005  # between two looks, however long one takes


class RocksHistoryReader:
    """Reads ``<state_dir>/<topic>-<partition>`` for every partition that is there.

    Directories are opened when they appear, and anew when the worker replaced them. One daemon
    thread looks every ``catch_up_ms`` whether a writer wrote, and catches up where one did.
    ``read`` and ``partition_meta`` may be called from any thread; they never wait for that thread.
    """

    def __init__(
        self, state_dir: Path, topic: str, history_length: int, catch_up_ms: int = 30
    ) -> None:
        self._state_dir = state_dir
        self._topic = topic
        self._length = history_length
        self._pause_s = catch_up_ms / 1000
        # RocksDB wants a place of its own for what a reader says of itself.
        self._private = _private_folder()
        self._watched = WatchedFolder(state_dir)
        self._open: dict[int, Secondary] = {}
        self._users: dict[int, UserReader] = {}
        self._closing = threading.Event()
        self.catch_up()
        self._thread = threading.Thread(target=self._follow, name="state reader", daemon=True)
        self._thread.start()

    def read(self, user: UserId) -> UserState | None:
        """See the port. ``StateFormatError`` where the state is of another format."""
        stored = self.stored(user)
        return None if stored is None else stored.decode()

    def stored(self, user: UserId) -> StoredSequence | None:
        """See the port."""
        readers = self._users
        for partition in by_likelihood(user, sorted(readers)):
            stored = readers[partition].stored(user)
            if stored is not None:
                return stored
        return None

    def partitions(self) -> list[int]:
        """Partitions whose state is known here, ascending."""
        return sorted(self._open)

    def partition_meta(self, partition: int) -> PartitionMeta | None:
        """What a partition says of itself; ``None`` where it is not known yet."""
        secondary = self._open.get(partition)
        return None if secondary is None else read_meta(secondary.get)

    def close(self) -> None:
        """Stop following and let go of the directories. Harmless twice."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._open, self._users = {}, {}
        shutil.rmtree(self._private, ignore_errors=True)

    def catch_up(self) -> None:
        """One round over all directories; the thread calls it, and the constructor before it."""
        found = dict(self._open)
        for partition, folder in self._folders().items():
            secondary = found.get(partition)
            if secondary is None:
                secondary = Secondary(folder, self._private / str(partition))
            if secondary.catch_up():
                found[partition] = secondary
        if found.keys() == self._open.keys():
            return
        users = {
            partition: self._users.get(partition) or self._reader(partition, secondary)
            for partition, secondary in found.items()
        }
        # Readers hold the old tables or the new ones, never one in the making.
        self._open, self._users = found, users

    def _reader(self, partition: int, secondary: Secondary) -> UserReader:
        return UserReader(secondary.get, partition, self._length, lambda: secondary.moves)

    def _folders(self) -> dict[int, Path]:
        prefix = f"{self._topic}-"
        try:
            names = self._watched.names()
        except OSError:
            return {}
        return {
            int(number): self._state_dir / name
            for name in names
            if name.startswith(prefix) and (number := name.removeprefix(prefix)).isdecimal()
        }

    def _follow(self) -> None:
        said, took_s = "", 0.0
        while not self._closing.wait(max(_REST_S, self._pause_s - took_s)):
            began = time.monotonic()
            try:
                self.catch_up()
            except Exception as error:
                # The thread must outlive a bad moment of the disk; one line per kind of it.
                if str(error) != said:
                    said = str(error)
                    _LOG.warning("state in %s cannot be followed: %s", self._state_dir, said)
            took_s = time.monotonic() - began


def _private_folder() -> Path:
    """A temporary folder that names its process; those of processes that were killed go."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
