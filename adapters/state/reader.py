"""``HistoryReader`` over the stream worker's RocksDB directories, read while the worker writes.

RocksDB calls a reader of another process's database a *secondary*: it applies the writer's log when
asked to. Nothing is copied and events are folded once, so serving reads what the worker wrote
(law 1), some ten milliseconds later.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from everfresh.adapters.state.coverage import StateCoverage
from everfresh.adapters.state.directory_cache import DirectoryCache
from everfresh.adapters.state.secondary import Secondary
from everfresh.adapters.state.user_state import (
    Get,
    UserReader,
    by_likelihood,
    first_arms_of,
    read_meta,
)
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.first_arm import FirstArm
from everfresh.contracts.sequence import PartitionMeta, StoredSequence, UserState

_LOG = logging.getLogger(__name__)
_PREFIX = "everfresh-reader-"
_REST_S = 0.005  # between two catch-ups, however long one takes


class RocksHistoryReader:
    """Reads ``<state_dir>/<topic>-<partition>`` for every partition that is there.

    Directories are opened when they appear, and again after the worker replaced them. Every
    ``catch_up_ms`` milliseconds a daemon thread catches up with what writers wrote. ``read`` and
    ``partition_meta`` may be called from any thread; they never wait for that thread.
    """

    def __init__(
        self,
        state_dir: Path,
        topic: str,
        history_length: int,
        catch_up_ms: int = 30,
        coverage: StateCoverage | None = None,
    ) -> None:
        """``coverage`` is told what is here; without one, a user who is not here is unknown."""
        self._state_dir = state_dir
        self._topic = topic
        self._length = history_length
        self._pause_s = catch_up_ms / 1000
        # RocksDB writes a log of each reader, which needs a folder.
        self._private = _private_folder()
        self._coverage = coverage
        self._directory = DirectoryCache(state_dir)
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
        if self._coverage is not None:
            self._coverage.require_here(user)
        return None

    def first_arms(self, user: UserId) -> dict[str, FirstArm] | None:
        """See ``contracts.experiments.first_arm``."""
        opened = self._open
        return first_arms_of(user, {number: each.get for number, each in opened.items()})

    def partitions(self) -> list[int]:
        """Partitions whose state is known here, ascending."""
        return sorted(self._open)

    def partition_meta(self, partition: int) -> PartitionMeta | None:
        """A partition's description of its state; ``None`` where it is not known yet."""
        secondary = self._open.get(partition)
        return None if secondary is None else read_meta(secondary.get)

    def lookups(self) -> dict[int, Get]:
        """How each partition's state is looked up, for readers of more than users."""
        return {number: secondary.get for number, secondary in self._open.items()}

    def close(self) -> None:
        """Stop following and release the directories. Harmless twice."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._open, self._users = {}, {}
        shutil.rmtree(self._private, ignore_errors=True)

    def catch_up(self) -> None:
        """One round over all directories; the thread calls it, and the constructor before it."""
        self._catch_up()
        if self._coverage is not None:
            behind = [number for number, each in self._open.items() if each.behind]
            self._coverage.look(sorted(self._users), self._meta_in_use, behind)

    def _catch_up(self) -> None:
        opened = dict(self._open)
        for partition, folder in self._folders().items():
            secondary = opened.get(partition)
            if secondary is None:
                secondary = Secondary(folder, self._private / str(partition))
            if secondary.catch_up():
                opened[partition] = secondary
        if opened.keys() == self._open.keys():
            return
        users = {
            partition: self._users.get(partition) or self._reader(partition, secondary)
            for partition, secondary in opened.items()
        }
        # Replaced as a whole: another thread sees the old tables or the new ones.
        self._open, self._users = opened, users

    def _meta_in_use(self, partition: int) -> PartitionMeta | None:
        reader = self._users.get(partition)
        return None if reader is None else reader.meta()

    def _reader(self, partition: int, secondary: Secondary) -> UserReader:
        return UserReader(secondary.get, partition, self._length, lambda: secondary.revision)

    def _folders(self) -> dict[int, Path]:
        prefix = f"{self._topic}-"
        try:
            names = self._directory.names()
        except OSError:
            return {}
        return {
            int(number): self._state_dir / name
            for name in names
            if name.startswith(prefix) and (number := name.removeprefix(prefix)).isdecimal()
        }

    def _follow(self) -> None:
        last_error, took_s = "", 0.0
        while not self._closing.wait(max(_REST_S, self._pause_s - took_s)):
            began = time.monotonic()
            try:
                self.catch_up()
            except Exception as error:
                # The thread must outlive an error of the disk; each kind is logged once in a row.
                if str(error) != last_error:
                    last_error = str(error)
                    _LOG.warning("state in %s cannot be followed: %s", self._state_dir, last_error)
            took_s = time.monotonic() - began


def _private_folder() -> Path:
    """A temporary folder named after this process; removes those of processes that have ended."""
    for stale in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = stale.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(stale, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
