"""The delivery: order, repetition after failures, and how much may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from everfresh.contracts.errors import Unreachable
from everfresh.streaming.log.records import OutgoingRecord
from everfresh.streaming.outbox import delivery as module
from everfresh.streaming.outbox.delivery import OutboxDelivery
from everfresh.streaming.outbox.pacer import StepPacer
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.store import MemoryStore
from everfresh.streaming.state.write_batch import WriteBatch
from tests.streaming.sample_log import START_MS, accepted, opened, rejected

PLENTY = 1 << 30


class Broker:
    """A sender that records order, and fails as often as it is told."""

    def __init__(self, failures: list[Exception] | None = None) -> None:
        self.rows: list[OutgoingRecord] = []
        self.failures = failures or []

    async def send(self, record: OutgoingRecord) -> Awaitable[Any]:
        self.rows.append(record)
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.failures:
            sent.set_exception(self.failures.pop(0))
        else:
            sent.set_result(None)
        return sent


def waiting(store: MemoryStore) -> Partition:
    partition = opened(store)
    partition.apply([accepted(0, 1, 1, START_MS), rejected(1, START_MS + 1000)])
    return partition


async def run(partition: Partition, broker: Broker) -> None:
    delivery = OutboxDelivery(partition.outbox, partition, broker, StepPacer(), PLENTY)
    task = asyncio.create_task(delivery.run())
    drained = asyncio.create_task(delivery.drain(5.0))
    try:
        done, _ = await asyncio.wait([task, drained], return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            await task
        assert await drained
    finally:
        for each in (task, drained):
            each.cancel()


def test_the_outbox_is_delivered_in_order_and_emptied() -> None:
    store, broker = MemoryStore(), Broker()
    asyncio.run(run(waiting(store), broker))
    assert [row.topic for row in broker.rows] == ["dead-letters", "windows", "windows"]
    assert opened(store).outbox.waiting == 0


def test_a_failed_batch_is_delivered_again_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    store, broker = MemoryStore(), Broker([KafkaTimeoutError()])
    partition = opened(store)
    partition.apply([accepted(0, 1, 1, START_MS), accepted(1, 1, 1, START_MS + 1000)])
    asyncio.run(run(partition, broker))
    topics = [row.topic for row in broker.rows]
    assert topics == ["windows", "windows", "windows", "windows"]


def test_a_refusal_for_good_stops_the_worker_and_keeps_the_outbox() -> None:
    store = MemoryStore()
    with pytest.raises(Unreachable, match="nothing is lost"):
        asyncio.run(run(waiting(store), Broker([TopicAuthorizationFailedError()])))
    assert opened(store).outbox.waiting == 2  # the dead letter and the slice


def test_draining_ends_in_time_when_nothing_can_be_delivered() -> None:
    async def stuck() -> bool:
        partition = waiting(MemoryStore())
        delivery = OutboxDelivery(partition.outbox, partition, Broker(), StepPacer(), PLENTY)
        return await delivery.drain(0.01)  # nobody runs it

    assert asyncio.run(stuck()) is False


def test_however_many_partitions_close_the_loop_is_left_free_after_each_step() -> None:
    order: list[str] = []

    async def partition(pacer: StepPacer, name: str) -> None:
        for _ in range(3):
            await pacer.run(lambda: order.append(name))

    async def others() -> None:
        while order.count("a") + order.count("b") < 6:
            order.append("-")
            await asyncio.sleep(0)

    async def run() -> None:
        pacer = StepPacer()
        await asyncio.gather(partition(pacer, "a"), partition(pacer, "b"), others())

    asyncio.run(run())
    assert not any("-" not in pair for pair in pairwise(order))
    assert "".join(order).replace("-", "") == "ababab"


@pytest.mark.parametrize("limit", [0, PLENTY])
def test_with_more_than_may_wait_nothing_is_read_until_it_is_delivered(limit: int) -> None:
    async def run() -> list[bool]:
        partition, gates = waiting(MemoryStore()), Gate()
        while partition.has_parts_to_make:
            partition.make_part()
        delivery = OutboxDelivery(partition.outbox, partition, gates, StepPacer(), limit)
        task = asyncio.create_task(delivery.run())
        room = asyncio.create_task(delivery.wait_for_room())
        seen = []
        for _ in range(partition.outbox.waiting):
            await asyncio.wait([room], timeout=0.01)
            seen.append(room.done())
            gates.open()
        await room
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return seen

    assert asyncio.run(run()) == [limit == PLENTY] * 2


def test_who_waits_for_room_is_let_go_when_the_partition_is_given_back() -> None:
    async def run() -> None:
        partition = waiting(MemoryStore())
        delivery = OutboxDelivery(partition.outbox, partition, Gate(), StepPacer(), 0)
        task = asyncio.create_task(delivery.run())
        room = asyncio.create_task(delivery.wait_for_room())
        await asyncio.wait([room], timeout=0.01)
        assert not room.done()
        task.cancel()
        await asyncio.wait_for(room, 5.0)

    asyncio.run(run())


class Gate(Broker):
    """A sender whose acknowledgements come when it is told, one outbox batch at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.unsaid: list[asyncio.Future[None]] = []

    async def send(self, record: OutgoingRecord) -> Awaitable[Any]:
        self.unsaid.append(asyncio.get_running_loop().create_future())
        return self.unsaid[-1]

    def open(self) -> None:
        for sent in self.unsaid:
            sent.set_result(None)
        self.unsaid = []


def test_what_is_made_is_delivered_also_while_more_is_being_made() -> None:
    async def run() -> list[OutgoingRecord]:
        broker = Broker()
        partition = waiting(MemoryStore())
        # As under load: whenever a stretch has been worked off, the next one is there.
        busy = Busy()
        delivery = OutboxDelivery(partition.outbox, busy, broker, StepPacer(), PLENTY)
        task = asyncio.create_task(delivery.run())
        for _ in range(1000):
            await asyncio.sleep(0)
            if not partition.outbox.waiting:
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert busy.steps > 1
        return broker.rows

    assert asyncio.run(run())


class Busy:
    """A partition that never has all parts made."""

    has_parts_to_make = True
    steps = 0

    def make_part(self) -> WriteBatch:
        self.steps += 1
        return WriteBatch()
