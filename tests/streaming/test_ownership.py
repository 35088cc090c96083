"""Partitions that come and go: what must not happen meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

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
