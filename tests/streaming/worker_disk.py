"""A worker's machine: a state on real RocksDB, which can be lost, and snapshots elsewhere."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from everfresh.adapters.state.snapshots import SNAPSHOT_FORMAT, SnapshotManifest, SnapshotStore
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.partition import Partition, open_partition
from everfresh.streaming.state.restore import RestoreFigures, origin_of, restore
from everfresh.streaming.state.store import RocksStore, block_cache
from tests.streaming.sample_log import START_MS, LogRecord, accepted, place, rejected, rules

CACHE = block_cache(1)
HERE = place(end=2000)
HISTORY = rules().history_length


def log(number: int) -> list[LogRecord]:
    """Events of few users over several windows, some of them not acceptable."""
    choose = random.Random(5)
    return [
        rejected(offset, START_MS + 9 * offset)
        if choose.random() < 0.05
        else accepted(offset, choose.randrange(9), choose.randrange(50), START_MS + 9 * offset)
        for offset in range(number)
    ]


LOG = log(2000)


class Machine:
    """A worker's disk, and the snapshots elsewhere."""

    def __init__(self, root: Path) -> None:
        self.path = root / "state" / "t.events-0"
        self.snapshots = SnapshotStore(str(root / "snapshots"), HERE.topic, HERE.partition)
        self.figures = RestoreFigures()
        self.store: RocksStore
        self.partition: Partition

    def start(self, with_rules: FoldRules | None = None) -> None:
        self.store = RocksStore(self.path, CACHE, 1)
        self.partition = open_partition(self.store, HERE, with_rules or rules())

    def apply(self, records: Iterable[LogRecord]) -> None:
        self.partition.apply(records)

    def pairs(self) -> dict[bytes, bytes]:
        return dict(self.store.scan(b""))

    def snapshot(self, **more: Any) -> str:
        folder = self.path.with_name("checkpoint")
        self.store.checkpoint(folder)
        about = SnapshotManifest(SNAPSHOT_FORMAT, origin_of(HERE), self.partition.applied, 1, [])
        about = msgspec.structs.replace(about, **more)
        saved, _ = self.snapshots.save(about, folder, 9, lambda: None)
        shutil.rmtree(folder)
        return saved.name

    def manifest(self, name: str) -> SnapshotManifest:
        manifest = self.snapshots.manifest(name)
        assert manifest is not None
        return manifest

    def lose(self) -> None:
        self.store.close()
        shutil.rmtree(self.path)

    def check(self, draft: Path, with_rules: FoldRules | None = None) -> None:
        opened = RocksStore(draft, CACHE, 1)
        try:
            open_partition(opened, HERE, with_rules or rules())
        finally:
            opened.close()

    def restore(self, **where: Any) -> SnapshotManifest | None:
        there = place(**{"end": HERE.end, **where})
        return restore(self.path, there, self.snapshots, self.check, self.figures)
