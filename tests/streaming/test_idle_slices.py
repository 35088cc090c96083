"""Which slices of a silent partition are closed, and which must wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP

from everfresh.streaming.idle_slices import IdleSlices
from everfresh.streaming.log.fetch_transport import FetchConsumer
from everfresh.streaming.log_reading import LogReading
from everfresh.streaming.owned_partition import OwnedPartition
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.consumer_double import consumer_at
from tests.streaming.sample_log import PERIOD_MS, START_MS, accepted, delivered, opened, slices

LOG = [accepted(n, n % 2, n, START_MS + 500 * n) for n in range(10)]
NOW_MS = START_MS + 60_000
GRACE_MS = 100


def cut(partition: Partition) -> list[tuple[int, int, int, str]]:
    runs = slices(list(delivered(partition)))
    return [
        (closed.label, closed.start, closed.end, closed.digest)
        for closed, _ in runs
        if closed.events
    ]


def replayed() -> list[tuple[int, int, int, str]]:
    partition = opened(MemoryStore())
    partition.apply(LOG)
    partition.close_until(NOW_MS // PERIOD_MS - 2)
    return cut(partition)


def test_a_partition_is_not_idle_before_reading_was_sent_to_where_its_state_ends() -> None:
    """The state is lost, and the group has committed the end of a log that is silent now."""

    async def run() -> list[tuple[int, int, int, str]]:
        partition, owned = opened(MemoryStore()), dict[int, OwnedPartition]()

        async def ends(numbers: Iterable[int]) -> dict[int, int]:
            return dict.fromkeys(numbers, len(LOG))

        async def close_idle() -> None:
            assert partition.overdue_label(NOW_MS, GRACE_MS) is not None
            await idle.close_overdue(NOW_MS)

        async def resume(numbers: set[int]) -> dict[int, int]:
            # One after the other: while the next one is restored, this one is owned already.
            unused = cast(Any, None)
            delivery: Any = SimpleNamespace(wake=int)
            owned[0] = OwnedPartition(partition, unused, unused, delivery, unused)
            await close_idle()
            return {0: partition.applied}

        consumer = consumer_at({TP("t", 0): len(LOG)}, resume=resume)
        probe: Any = SimpleNamespace(ends=ends)
        reading = LogReading("t", probe, lambda: consumer)
        idle = IdleSlices(owned, reading, probe, GRACE_MS, lambda batch: None)
        await FetchConsumer.seek_to_committed(consumer)
        partition.apply(LOG)
        cast(Any, consumer)._thread.at[TP("t", 0)] = len(LOG)
        await close_idle()
        return cut(partition)

    assert asyncio.run(run()) == replayed()
