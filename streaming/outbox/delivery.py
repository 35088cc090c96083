"""Delivers a partition's outbox: dead letters and closed slices, at least once, in order.

1. The fold writes dead letters into the store, in the batch that moves the offset past their
   records; the parts of a closed slice follow in steps, which are made here between fetches.
2. The courier produces all rows of the oldest parcel, a few at a time, and waits for every
   acknowledgement; where one fails, the parcel is produced again from its first row.
3. It removes that parcel as a whole.

A crash between 1 and 2 loses nothing, one between 2 and 3 delivers the parcel once more: readers
of slices drop a label they have closed already, a dead letter is named by its original offset.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from everfresh.contracts.errors import Unreachable
from everfresh.streaming.fold.write_batch import Changes
from everfresh.streaming.outbox.batch import Parcel
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.key_layout import OutboxRow

_RETRY_SECONDS = 1.0
_OUTAGE = (KafkaTimeoutError, KafkaConnectionError)  # marked final, but the broker may come back
_log = logging.getLogger("everfresh.streaming")


class Outlet(Protocol):
    """What the courier produces through: idempotent, so that retries keep order."""

    def send(self, row: OutboxRow) -> Awaitable[Awaitable[Any]]:
        """Queue a row; the inner awaitable is done once all replicas have it."""


class Pace:
    """Lets the partitions of a worker make their closed slices one step at a time.

    After each step the event loop is left to others for as long as the step took. So a fetch waits
    for one step at most, however many partitions close, and closing takes half of a busy loop.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def step(self, make: Callable[[], None]) -> None:
        """Call ``make``, which takes milliseconds, in turn."""
        async with self._turn:
            began = time.perf_counter()
            make()
            await asyncio.sleep(time.perf_counter() - began)


class Courier:
    """Runs beside one partition's owner, on the same event loop."""

    def __init__(
        self,
        partition: Partition,
        outlet: Outlet,
        pace: Pace,
        limit: int,
        settled: Callable[[Changes], None] = lambda changes: None,
    ) -> None:
        """``pace`` is the worker's; ``settled`` hears what each step of closing has done.

        More than ``limit`` bytes of parcels that wait for delivery are too many: see :meth:`room`.
        """
        self._partition = partition
        self._outlet = outlet
        self._pace = pace
        self._limit = limit
        self._settled = settled
        self._work = asyncio.Event()
        self._made = asyncio.Event()
        self._empty = asyncio.Event()
        self._moved = asyncio.Event()
        self._ended = False
        self.wake()

    def wake(self) -> None:
        """There may be new parcels, or parts to make."""
        self._empty.clear()
        self._work.set()

    async def room(self) -> None:
        """Wait until no more waits for delivery than may, or until nothing is delivered any more.

        Whoever reads a log waits here first: one that is read faster than its windows are written
        would fill the disk.
        """
        while not self._ended and self._partition.waiting_bytes > self._limit:
            self._moved.clear()
            await self._moved.wait()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until the outbox is empty; False where time ran out, and the rest waits in it."""
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Make parts and deliver for ever, side by side: under load there is always one to make.

        ``Unreachable`` where the broker refuses for good.
        """
        tasks = [asyncio.create_task(work) for work in (self._make(), self._bring())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ended = True
            self._moved.set()

    async def _make(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._partition.settling:
                await self._pace.step(self._settle)
                self._made.set()
            self._made.set()

    async def _bring(self) -> None:
        while True:
            await self._made.wait()
            self._made.clear()
            while parcel := self._partition.parcel():
                await self._deliver(parcel)
            if not (self._work.is_set() or self._partition.settling):
                self._empty.set()

    def _settle(self) -> None:
        if self._partition.settling:  # a seal that could not wait may have made the rest
            self._settled(self._partition.settle())

    async def _deliver(self, parcel: Parcel) -> None:
        while True:
            topic = ""
            try:
                for rows in parcel.pages():
                    topic = rows[0].topic
                    sent = [await self._outlet.send(row) for row in rows]
                    await asyncio.gather(*sent)
            except KafkaError as error:
                if not (error.retriable or isinstance(error, _OUTAGE)):
                    raise Unreachable(
                        f"topic {topic} does not take what the worker writes ({error!r}); check "
                        "the topic's limits and this client's rights; nothing is lost, the outbox "
                        "keeps it"
                    ) from None
                _log.warning("writing to %s failed, trying again: %r", topic, error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._partition.delivered()
            self._moved.set()
            return
