"""Snapshots of a running worker's state: when they are taken, and what becomes of failures."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from everfresh.adapters.memory import ManualClock
from everfresh.adapters.state.snapshots import SnapshotStore
from everfresh.contracts.errors import SnapshotError
from everfresh.contracts.settings import StateSettings
from everfresh.streaming.owned_partition import OwnedPartition
from everfresh.streaming.state.restore import origin_of
from everfresh.streaming.state.snapshots import SnapshotTaker
from tests.streaming.worker_disk import HERE, LOG, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def owned(machine: Machine) -> OwnedPartition:
    unused = cast(Any, None)
    return OwnedPartition(machine.partition, machine.store, origin_of(HERE), unused, unused)


async def taken(taker: SnapshotTaker, owned: dict[int, OwnedPartition], count: int) -> None:
    task = asyncio.create_task(taker.run(owned))
    try:
        while taker.figures.taken + taker.figures.failed < count:
            await asyncio.sleep(0.01)
    finally:
        task.cancel()


def test_snapshots_are_taken_when_due_and_only_of_what_has_changed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everfresh.streaming.state.snapshots._LOOK_SECONDS", 0.001)
    clock, settings = ManualClock(9_000_000), StateSettings(snapshot_every_s=10.0)
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
        clock.set_back(3_600_000)
        machine.apply(LOG[700:800])
        while taker.figures.taken < 2:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(run())
    offsets = [machine.manifest(name).applied for name in machine.snapshots.names()]
    assert offsets == [800, 700]
    assert taker.figures.bytes[0] > 0
    assert not machine.path.with_name(f"{machine.path.name}.checkpoint").exists()


def test_a_snapshot_that_fails_is_counted_and_the_worker_goes_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everfresh.streaming.state.snapshots._LOOK_SECONDS", 0.001)

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
    monkeypatch.setattr("everfresh.streaming.state.snapshots._LOOK_SECONDS", 0.001)
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
