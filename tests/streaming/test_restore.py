"""A lost state directory comes back from a snapshot, on real RocksDB."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from contracts.errors import LogTruncated, SnapshotError, StateError
from contracts.sequence import USER_PREFIX
from contracts.settings import StateSettings
from infra.memory import ManualClock
from infra.snapshots import FORMAT, SnapshotManifest, SnapshotStore
from streaming.layout import HEAD_KEY, OutboxRow
from streaming.opening import open_partition
from streaming.ownership import Owned
from streaming.partition import Partition
from streaming.restore import RestoreFigures, begin_anew, origin_of, restore
from streaming.rules import FoldRules
from streaming.snapshots import SnapshotTaker
from streaming.store import RocksStore, block_cache
from tests.streaming.log import (
    START_MS,
    LogRecord,
    accepted,
    delivered,
    place,
    rejected,
    rules,
    states,
)

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
        about = SnapshotManifest(FORMAT, origin_of(HERE), self.partition.applied, 1, [])
        saved, _ = self.snapshots.save(about, folder, 9, lambda: None)
        shutil.rmtree(folder)
        return saved.name

    def manifest(self, name: str) -> SnapshotManifest:
        found = self.snapshots.manifest(name)
        assert found is not None
        return found

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


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def with_two_snapshots(machine: Machine) -> list[str]:
    """Snapshots at offsets 700 and 1100, and then the disk is gone."""
    machine.start()
    machine.apply(LOG[:700])
    first = machine.snapshot()
    machine.apply(LOG[700:1100])
    second = machine.snapshot()
    machine.apply(LOG[1100:1500])
    machine.lose()
    return [second, first]


def windows(rows: Iterable[OutboxRow]) -> list[bytes | None]:
    return [row.value for row in rows if row.topic == "windows"]


def test_restored_and_replayed_it_is_as_if_nothing_had_been_lost(
    machine: Machine, tmp_path: Path
) -> None:
    never_lost = Machine(tmp_path / "other")
    never_lost.start()
    never_lost.apply(LOG)
    with_two_snapshots(machine)
    found = machine.restore()
    assert found is not None
    assert found.applied == 1100
    machine.start()
    assert machine.partition.applied == 1100
    machine.apply(LOG[1100:1333])
    machine.apply(LOG[1333:])
    ours, theirs = list(delivered(machine.partition)), list(delivered(never_lost.partition))
    for layout in (USER_PREFIX, HEAD_KEY):
        assert list(machine.store.scan(layout)) == list(never_lost.store.scan(layout))
    assert states(machine.pairs(), HISTORY) == states(never_lost.pairs(), HISTORY)
    assert machine.partition.applied == never_lost.partition.applied
    assert sorted(ours, key=str) == sorted(theirs, key=str)
    assert windows(ours) == windows(theirs)
    assert (machine.figures.from_snapshot, machine.figures.refused.total()) == (1, 0)
    assert machine.figures.bytes_left == 0


def test_the_outbox_and_the_open_slice_travel_with_the_snapshot(machine: Machine) -> None:
    machine.start()
    machine.apply(LOG[:700])
    before, waiting = machine.pairs(), machine.partition.waiting
    machine.snapshot()
    machine.lose()
    machine.restore()
    machine.start()
    assert waiting > 0
    assert machine.partition.waiting == waiting
    assert machine.pairs() == before


def damage(machine: Machine, name: str) -> None:
    """The newest files of this snapshot alone rot."""
    others = [one for one in machine.snapshots.names() if one != name]
    shared = {file.sha256 for one in others for file in machine.manifest(one).files}
    root = machine.path.parents[1] / "snapshots" / "t.events-0" / "files"
    for file in machine.manifest(name).files:
        if file.sha256 not in shared and file.bytes:
            data = bytearray((root / file.sha256).read_bytes())
            data[len(data) // 2] ^= 1
            (root / file.sha256).write_bytes(data)


def test_a_corrupt_snapshot_is_named_and_the_one_before_it_is_taken(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    newest, _ = with_two_snapshots(machine)
    damage(machine, newest)
    found = machine.restore()
    assert found is not None
    assert found.applied == 700
    assert machine.figures.refused == {"corrupt": 1}
    assert f"partition 0: snapshot {newest} is not used: corrupt: file" in caplog.text


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"cluster": "other"}, "foreign"),
        ({"topic_id": "recreated"}, "foreign"),
        ({"end": 600}, "out of reach"),
        ({"start": 1101}, "out of reach"),
    ],
)
def test_a_foreign_snapshot_is_named_and_skipped(
    machine: Machine, where: dict[str, Any], reason: str
) -> None:
    with_two_snapshots(machine)
    assert machine.restore(**where) is None
    assert machine.figures.refused == {reason: 2}
    assert not machine.path.exists()
    assert machine.path.parent.exists()


def test_a_snapshot_cut_by_other_rules_is_foreign(machine: Machine) -> None:
    with_two_snapshots(machine)
    there = place(end=HERE.end)

    def check(draft: Path) -> None:
        machine.check(draft, rules(period_ms=5000))

    assert restore(machine.path, there, machine.snapshots, check, machine.figures) is None
    assert machine.figures.refused == {"foreign": 2}


def test_a_snapshot_that_rocksdb_cannot_open_is_corrupt(machine: Machine, tmp_path: Path) -> None:
    machine.start()
    machine.apply(LOG[:700])
    folder = tmp_path / "torn"
    machine.store.checkpoint(folder)
    for table in folder.glob("*.sst"):
        table.unlink()
    about = SnapshotManifest(FORMAT, origin_of(HERE), 700, 1, [])
    machine.snapshots.save(about, folder, 9, lambda: None)
    machine.lose()
    assert machine.restore() is None
    assert machine.figures.refused == {"corrupt": 1}


def test_a_store_that_cannot_be_reached_leaves_the_log(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "snapshots").write_text("a file where a folder should be")
    assert machine.restore() is None
    assert machine.figures.refused == {"unreachable": 1}


def test_a_disk_that_takes_no_more_stops_the_restore_and_blames_no_snapshot(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_two_snapshots(machine)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("infra.snapshots.os.fsync", full)
    with pytest.raises(StateError, match="No space left on device; make room"):
        machine.restore()
    assert not machine.figures.refused


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [0, 2, 4])
def test_killed_during_restore_it_is_restored_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with_two_snapshots(machine)
    bring = SnapshotStore.restore

    def killed(self: SnapshotStore, manifest: SnapshotManifest, folder: Path, _: Any) -> None:
        left = [at]

        def arrived(size: int) -> None:
            if not left[0]:
                raise Killed
            left[0] -= 1

        bring(self, manifest, folder, arrived)

    with monkeypatch.context() as patched:
        patched.setattr(SnapshotStore, "restore", killed)
        with pytest.raises(Killed):
            machine.restore()
    assert not machine.path.exists()
    found = machine.restore()
    assert found is not None
    assert found.applied == 1100


def test_killed_before_the_restored_state_takes_its_place_it_is_restored_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_two_snapshots(machine)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(Killed):
            machine.restore()
    assert not machine.path.exists()
    assert machine.restore() is not None
    machine.start()
    assert machine.partition.applied == 1100


def test_where_the_logs_beginning_is_gone_it_does_not_begin_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    figures = RestoreFigures()
    with pytest.raises(LogTruncated, match=r"begins at 40.*state\.accept_truncated_log"):
        begin_anew(place(start=40), accept_truncated=False, figures=figures)
    begin_anew(place(start=40), accept_truncated=True, figures=figures)
    assert "the state begins at offset 40" in caplog.text
    begin_anew(place(start=0), accept_truncated=False, figures=figures)
    assert (figures.from_log, figures.truncated) == (2, 40)


def owned(machine: Machine) -> Owned:
    unused = cast(Any, None)
    return Owned(machine.partition, machine.store, origin_of(HERE), unused, unused)


async def taken(taker: SnapshotTaker, owned: dict[int, Owned], count: int) -> None:
    task = asyncio.create_task(taker.run(owned))
    try:
        while taker.figures.taken + taker.figures.failed < count:
            await asyncio.sleep(0.01)
    finally:
        task.cancel()


def test_snapshots_are_taken_when_due_and_only_of_what_has_changed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.snapshots._LOOK_SECONDS", 0.001)
    clock, settings = ManualClock(1000), StateSettings(snapshot_every_s=10.0)
    taker = SnapshotTaker(settings, lambda number: machine.snapshots, clock)
    machine.start()
    machine.apply(LOG[:700])

    async def run() -> None:
        mine = {0: owned(machine)}
        task = asyncio.create_task(taker.run(mine))
        await asyncio.sleep(0.05)
        assert taker.figures.taken == 0
        clock.advance(10_000)
        await taken(taker, mine, 1)
        for _ in range(3):
            clock.advance(10_000)
            await asyncio.sleep(0.05)
        machine.apply(LOG[700:800])
        while taker.figures.taken < 2:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(run())
    found = [machine.manifest(name).applied for name in machine.snapshots.names()]
    assert found == [800, 700]
    assert taker.figures.bytes[0] > 0
    assert not machine.path.with_name(f"{machine.path.name}.checkpoint").exists()


def test_a_snapshot_that_fails_is_counted_and_the_worker_goes_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.snapshots._LOOK_SECONDS", 0.001)

    def refuses(number: int) -> SnapshotStore:
        raise SnapshotError("unreachable", "no network")

    clock = ManualClock(1000)
    taker = SnapshotTaker(StateSettings(snapshot_every_s=0.001), refuses, clock)
    machine.start()
    machine.apply(LOG[:10])

    async def run() -> None:
        mine = {0: owned(machine)}
        task = asyncio.create_task(taken(taker, mine, 1))
        while not task.done():
            clock.advance(1000)
            await asyncio.sleep(0.01)
        await task

    asyncio.run(run())
    assert taker.figures.failed >= 1
    machine.apply(LOG[10:20])
    assert machine.partition.applied == 20


def test_a_partition_that_was_given_away_is_not_snapshot_any_more(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.snapshots._LOOK_SECONDS", 0.001)
    clock = ManualClock(1000)
    machine.start()
    machine.apply(LOG[:10])
    mine = {0: owned(machine)}
    opened: list[int] = []

    def given_away(number: int) -> SnapshotStore:
        opened.append(number)
        mine.clear()
        return machine.snapshots

    taker = SnapshotTaker(StateSettings(snapshot_every_s=0.001), given_away, clock)

    async def run() -> None:
        task = asyncio.create_task(taker.run(mine))
        while not opened:
            clock.advance(1000)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()

    asyncio.run(run())
    assert machine.snapshots.names() == []
    assert (taker.figures.taken, taker.figures.failed) == (0, 0)
