"""Partitions that come and go while Faust reads the log: what must not happen meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.settings import Settings
from everfresh.streaming import ownership as ownership_module
from everfresh.streaming.log.faust_app import faust_app
from everfresh.streaming.log.fetch_transport import Fetch, FetchConsumer
from everfresh.streaming.log.identity import LogIdentity, LogPlace
from everfresh.streaming.ownership import Ownership
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.store import MemoryStore
from everfresh.streaming.worker import StreamWorker
from tests.streaming.log import PERIOD_MS, START_MS, accepted, delivered, opened, place, slices

LOG = [accepted(n, n % 2, n, START_MS + 500 * n) for n in range(10)]
NOW_MS = START_MS + 60_000
NOWHERE = {"bootstrap_servers": "127.0.0.1:1"}


def cut(partition: Partition) -> list[tuple[int, int, int, str]]:
    found = [closed for closed, _ in slices(list(delivered(partition))) if closed.events]
    return [(one.label, one.start, one.end, one.digest) for one in found]


def replayed() -> list[tuple[int, int, int, str]]:
    partition = opened(MemoryStore())
    partition.apply(LOG)
    partition.close_until(NOW_MS // PERIOD_MS - 2)
    return cut(partition)


class Thread:
    """aiokafka's consumer: after an assignment it stands where the group has committed."""

    def __init__(self, committed: dict[TP, int]) -> None:
        self.committed = committed
        self.at: dict[TP, int] = {}

    def assignment(self) -> set[TP]:
        return set(self.committed)

    async def seek_to_committed(self) -> dict[TP, int]:
        self.at = dict(self.committed)
        return self.at

    async def position(self, tp: TP) -> int:
        return self.at[tp]

    async def seek_wait(self, positions: dict[TP, int]) -> None:
        self.at |= positions


def reader(committed: dict[TP, int], **transport: Any) -> FetchConsumer:
    made = FetchConsumer.__new__(FetchConsumer)
    made.taken_end, made.sought, made._between = {}, set(), False
    made._thread = cast(Any, Thread(committed))
    made.transport = cast(Any, SimpleNamespace(topic="t", **transport))
    return made


def test_a_partition_is_not_idle_before_reading_was_sent_to_where_its_state_ends() -> None:
    """The state is lost, and the group has committed the end of a log that is silent now."""

    async def run() -> list[tuple[int, int, int, str]]:
        partition, owned = opened(MemoryStore()), dict[int, Any]()

        async def ends(numbers: Iterable[int]) -> dict[int, int]:
            return dict.fromkeys(numbers, len(LOG))

        async def tick() -> None:
            label = partition.overdue_label(NOW_MS, 100)
            assert label is not None
            await StreamWorker._close_idle(worker, {0: label})

        async def resume(numbers: set[int]) -> dict[int, int]:
            # One after the other: while the next one is restored, this one is owned already.
            owned[0] = SimpleNamespace(partition=partition, delivery=SimpleNamespace(wake=int))
            await tick()
            return {0: partition.applied}

        consumer = reader({TP("t", 0): len(LOG)}, resume=resume)
        worker: Any = SimpleNamespace(
            _owned=owned,
            _identity=SimpleNamespace(topic="t"),
            _consumer=lambda: consumer,
            _probe=SimpleNamespace(ends=ends),
            _note=lambda changes: None,
        )
        worker._reached = lambda *place: StreamWorker._reached(worker, *place)
        await FetchConsumer.seek_to_committed(consumer)
        partition.apply(LOG)
        cast(Any, consumer)._thread.at[TP("t", 0)] = len(LOG)
        await tick()
        return cut(partition)

    assert asyncio.run(run()) == replayed()


def test_what_was_revoked_is_not_opened_again_before_there_is_a_new_assignment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owned: set[int] = set()

    async def resume(numbers: set[int]) -> dict[int, int]:
        owned.update(numbers)
        return dict.fromkeys(numbers, 5)

    async def release(numbers: set[int]) -> None:
        owned.difference_update(numbers)

    async def faust(*words: Any) -> None:
        """Stands in for what Faust does itself."""

    async def run() -> None:
        for name in ("on_partitions_revoked", "on_partitions_assigned"):
            monkeypatch.setattr(driver.Consumer, name, faust)
        consumer = reader({TP("t", 0): 5}, resume=resume, release=release)
        await consumer.seek_to_committed()
        assert owned == {0}
        await consumer.on_partitions_revoked({TP("t", 0)})
        await consumer.seek_to_committed()
        assert owned == set()
        await consumer.on_partitions_assigned({TP("t", 0)})
        await consumer.seek_to_committed()
        assert owned == {0}

    asyncio.run(run())


@pytest.mark.parametrize(("following", "skipped"), [(0, True), (None, True), (5, False)])
def test_only_the_log_can_say_that_records_between_state_and_fetch_are_a_hole(
    following: int | None, skipped: bool
) -> None:
    sought = []

    async def seek(where: dict[TP, int]) -> None:
        sought.append(where)

    async def starts(numbers: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(numbers, 0)

    async def asked(number: int, offset: int) -> int | None:
        return following

    async def run() -> None:
        worker: Any = SimpleNamespace(
            _identity=SimpleNamespace(topic="t"),
            _consumer=lambda: SimpleNamespace(seek_wait=seek),
            _probe=SimpleNamespace(starts=starts, following=asked),
        )
        owned: Any = SimpleNamespace(partition=opened(MemoryStore()))
        for _ in range(3):
            assert await StreamWorker._skips(worker, owned, Fetch(0, LOG[5:])) is skipped

    asyncio.run(run())
    assert sought == [{TP("t", 0): 0}] * (3 * skipped)


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
        one = Ownership(settings, identity, probe, sender, None, lambda error: None)
        first = asyncio.create_task(one.resume({0}))
        while not running[0]:
            await asyncio.sleep(0.01)
        first.cancel()
        await one.resume({0})
        assert set(one.owned) == {0}
        await one.release_all()
        assert await one.resume({0}) == {}

    asyncio.run(run())
    assert most[0] == 1


def test_opening_partitions_and_waiting_for_the_outbox_may_take_hours(
    make_settings: Callable[..., Settings],
) -> None:
    async def run() -> None:
        conf = faust_app(make_settings(kafka=NOWHERE), "w").conf
        # How long Faust's recovery waits for the seek, and how long aiokafka stays without a poll.
        assert min(conf.broker_request_timeout, conf.broker_max_poll_interval) > 24 * 3600

    asyncio.run(run())


def test_where_faust_gave_up_the_worker_fails(make_settings: Callable[..., Settings]) -> None:
    async def run() -> None:
        settings = make_settings(kafka=NOWHERE, joins={"horizon_s": 0})
        identity, sink = LogIdentity("c", "t.events", "id", 4), cast(Any, None)
        worker = StreamWorker(settings, identity, "w", sink, lambda: 0)
        await worker._app.crash(RuntimeError("the fetcher is gone"))
        try:
            with pytest.raises(EverfreshError, match="the fetcher is gone"):
                await asyncio.wait_for(worker._tick(), 5.0)
        finally:
            await worker._sender.stop()
            await worker._probe.stop()

    asyncio.run(run())
