"""Partitions that come and go: what must not happen meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from everfresh.contracts.errors import LogTruncated, SnapshotError
from everfresh.contracts.settings import Settings
from everfresh.streaming import ownership as ownership_module
from everfresh.streaming.log.identity import LogIdentity, LogPlace
from everfresh.streaming.ownership import Ownership
from tests.streaming.sample_log import place

NOWHERE = {"bootstrap_servers": "127.0.0.1:1"}


def test_a_rebalance_during_a_restore_starts_no_second_one_beside_it(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most, lock = [0], [0], threading.Lock()

    def slow(*words: Any) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.3)
        with lock:
            running[0] -= 1

    monkeypatch.setattr(ownership_module, "restore", slow)

    async def places(numbers: Iterable[int]) -> dict[int, LogPlace]:
        return {number: place(partition=number) for number in numbers}

    async def run() -> None:
        identity = LogIdentity("cluster", "t.events", "id", 4)
        probe, sender = cast(Any, SimpleNamespace(places=places)), cast(Any, None)
        settings = make_settings(kafka=NOWHERE)
        ownership = Ownership(settings, identity, probe, sender, None, lambda error: None)
        first = asyncio.create_task(ownership.resume({0}))
        while not running[0]:
            await asyncio.sleep(0.01)
        first.cancel()
        await ownership.resume({0})
        assert set(ownership.owned) == {0}
        await ownership.release_all()
        assert await ownership.resume({0}) == {}

    asyncio.run(run())
    assert most[0] == 1


async def _resumed(settings: Settings, start: int) -> Ownership:
    async def places(numbers: Iterable[int]) -> dict[int, LogPlace]:
        return {number: place(partition=number, start=start, end=90) for number in numbers}

    identity = LogIdentity("cluster", "t.events", "id", 4)
    probe, sender = cast(Any, SimpleNamespace(places=places)), cast(Any, None)
    ownership = Ownership(settings, identity, probe, sender, None, lambda error: None)
    try:
        await ownership.resume({0})
    finally:
        await ownership.release_all()
    return ownership


@pytest.mark.parametrize("accepted", [False, True])
def test_snapshots_that_cannot_be_reached_are_not_taken_for_none_where_the_log_is_cut(
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    accepted: bool,
) -> None:
    monkeypatch.setattr(ownership_module, "_REACH_SECONDS", 0.0)
    monkeypatch.setattr(ownership_module, "_REACH_AGAIN_SECONDS", 0.01)
    nowhere = tmp_path / "snapshots"
    state = {"snapshot_url": str(nowhere), "accept_truncated_log": accepted}
    settings = make_settings(kafka=NOWHERE, state=state)
    nowhere.write_text("a file where a folder should be")
    with pytest.raises(SnapshotError, match=r"log begins at 40, and its snapshots, .* cannot be"):
        asyncio.run(_resumed(settings, 40))
    # A log that is whole says it all.
    assert asyncio.run(_resumed(settings, 0)).restores.from_log == 1
    nowhere.unlink()
    nowhere.mkdir()
    if accepted:
        again = make_settings(kafka=NOWHERE, state=state, home=tmp_path / "other")
        assert asyncio.run(_resumed(again, 40)).restores.truncated == 40


def test_an_outage_of_the_store_of_snapshots_is_waited_out(
    make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere, tried = tmp_path / "snapshots", [0]
    nowhere.write_text("a file where a folder should be")
    look = ownership_module.restore

    def looked(*words: Any) -> Any:
        tried[0] += 1
        if tried[0] == 3:
            nowhere.unlink()
        return look(*words)

    monkeypatch.setattr(ownership_module, "restore", looked)
    monkeypatch.setattr(ownership_module, "_REACH_AGAIN_SECONDS", 0.01)
    state = {"snapshot_url": str(nowhere), "accept_truncated_log": True}
    settings = make_settings(kafka=NOWHERE, state=state)
    assert asyncio.run(_resumed(settings, 40)).restores.truncated == 40
    assert tried[0] == 3


def test_no_snapshot_is_not_the_same_as_none_that_can_be_reached(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    state = {"snapshot_url": str(tmp_path / "none")}
    with pytest.raises(LogTruncated, match="accept_truncated_log"):
        asyncio.run(_resumed(make_settings(kafka=NOWHERE, state=state), 40))
