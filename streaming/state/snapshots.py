"""Takes snapshots of the partitions that this worker owns, beside the fold.

1. On the event loop, between two folds: RocksDB links the state's files into
   ``<directory>.checkpoint``. It writes out its memory first, which holds the loop for about
   0.1 s; sequences, segments, offset, open slice and outbox are all in there, as of one batch.
2. In a thread: what the store lacks is uploaded, the manifest last; older snapshots go.
3. The checkpoint is removed.

A kill leaves at most files that no manifest names; the next snapshot removes them.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from everfresh.adapters.state.snapshots import (
    SNAPSHOT_FORMAT,
    Origin,
    SnapshotManifest,
    SnapshotStore,
)
from everfresh.contracts.ports import Clock
from everfresh.contracts.settings import StateSettings
from everfresh.streaming.state.store import RocksStore

_LOOK_SECONDS = 0.25
_log = logging.getLogger("everfresh.streaming")


class OwnedState(Protocol):
    """What a snapshot needs of a partition that the worker owns."""

    @property
    def applied(self) -> int:
        """The offset after the last record that the state contains."""

    @property
    def store(self) -> RocksStore:
        """Where the state is."""

    @property
    def origin(self) -> Origin:
        """What the snapshot names as its origin."""


class SnapshotFigures:
    """Counts of this process's snapshots; ``newest_ms`` and ``bytes`` are by partition."""

    def __init__(self) -> None:
        self.taken = 0
        self.failed = 0
        self.uploaded_bytes = 0
        self.newest_ms: dict[int, int] = {}
        self.bytes: dict[int, int] = {}


class SnapshotTaker:
    """Runs on the worker's event loop. A snapshot that fails is named, counted and tried again."""

    def __init__(
        self,
        settings: StateSettings,
        open_store: Callable[[int], SnapshotStore],
        clock: Clock,
        rules: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """``open_store`` opens the snapshots of a partition; ``rules`` are those of the fold."""
        self._rules = dict(rules)
        self._every_ms = round(settings.snapshot_every_s * 1000)
        self._keep = settings.snapshots_kept
        self._open_store = open_store
        self._clock = clock
        self._stores: dict[int, SnapshotStore] = {}
        self._due_ms: dict[int, int] = {}
        self._applied: dict[int, int] = {}
        self.figures = SnapshotFigures()

    async def run(self, owned: Mapping[int, OwnedState]) -> None:
        """Runs until cancelled, over what is in ``owned`` at the time."""
        if not self._every_ms:
            return
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for number in self._due(owned):
                if number in owned:
                    await self._take(number, owned)

    def _due(self, owned: Mapping[int, OwnedState]) -> list[int]:
        now = self._clock()
        for gone in set(self._due_ms) - set(owned):
            del self._due_ms[gone]
            self._applied.pop(gone, None)
            self.figures.newest_ms.pop(gone, None)
            self.figures.bytes.pop(gone, None)
        for place, new in enumerate(sorted(set(owned) - set(self._due_ms)), 1):
            # Spread over the period, so that they do not hold the loop one after the other.
            self._due_ms[new] = now + self._every_ms * place // len(owned)
        return [
            number
            for number, due in self._due_ms.items()
            # Later than a period is due, too: the clock was set back.
            if not now < due <= now + self._every_ms
            and owned[number].applied != self._applied.get(number)
        ]

    async def _take(self, number: int, owned: Mapping[int, OwnedState]) -> None:
        mine = owned[number]

        def proceed() -> None:
            if owned.get(number) is not mine:
                raise _Abandoned

        # Nothing is awaited until the checkpoint is made: the state and the offset are of one fold.
        now, applied = self._clock(), mine.applied
        self._due_ms[number] = now + self._every_ms
        folder = mine.store.path.with_name(f"{mine.store.path.name}.checkpoint")
        manifest = SnapshotManifest(SNAPSHOT_FORMAT, mine.origin, applied, now, [], self._rules)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            mine.store.checkpoint(folder)
            saved, uploaded = await asyncio.to_thread(self._save, number, manifest, folder, proceed)
        except _Abandoned:
            return
        except Exception as error:  # stores of many makers raise what they like
            self.figures.failed += 1
            _log.warning("partition %d: no snapshot at offset %d: %r", number, applied, error)
            return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._applied[number] = applied
        self.figures.taken += 1
        self.figures.uploaded_bytes += uploaded
        self.figures.newest_ms[number] = now
        self.figures.bytes[number] = saved.bytes
        _log.info("partition %d: snapshot %s, %d bytes new", number, saved.name, uploaded)

    def _save(
        self, number: int, manifest: SnapshotManifest, folder: Path, proceed: Callable[[], None]
    ) -> tuple[SnapshotManifest, int]:
        store = self._stores.get(number)
        if store is None:
            store = self._stores[number] = self._open_store(number)
        return store.save(manifest, folder, self._keep, proceed)


class _Abandoned(Exception):
    """The partition is another's now; its snapshot is left unfinished."""
