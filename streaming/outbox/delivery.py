"""Delivers a partition's outbox: dead letters, outcomes and closed slices; at least once, in order.

1. The fold writes dead letters into the store, in the batch that moves the offset past their
   records; the parts of a closed slice follow in steps, which are made here between fetches.
2. The delivery sends all rows of the oldest outbox batch, a few at a time, and waits for every
   acknowledgement; where one fails, the batch is sent again from its first row.
3. It removes that batch as a whole.

A crash between 1 and 2 loses nothing, one between 2 and 3 delivers the batch once more: readers of
slices drop a label they have closed already, a dead letter is named by its original offset.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from everfresh.contracts.errors import Unreachable
from everfresh.streaming.log.records import OutgoingRecord
from everfresh.streaming.outbox.batch import OutboxBatch
from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.outbox.pacer import StepPacer
from everfresh.streaming.state.write_batch import WriteBatch

_RETRY_SECONDS = 1.0
_OUTAGE = (KafkaTimeoutError, KafkaConnectionError)  # marked final, but the broker may come back
_log = logging.getLogger("everfresh.streaming")


class RecordSender(Protocol):
    """What the delivery sends through: idempotent, so that retries keep order."""

    def send(self, record: OutgoingRecord) -> Awaitable[Awaitable[Any]]:
        """Queue a record; the inner awaitable is done once all replicas have it."""


class PartSource(Protocol):
    """The partition, as far as the delivery needs it: closed slices whose parts are to be made."""

    @property
    def has_parts_to_make(self) -> bool:
        """Whether a closed slice still has parts to be made."""

    def make_part(self) -> WriteBatch:
        """Make and write one part, some milliseconds of work; returns what was written."""


class OutboxDelivery:
    """Runs beside one partition's owner, on the same event loop."""

    def __init__(
        self,
        outbox: Outbox,
        source: PartSource,
        sender: RecordSender,
        pacer: StepPacer,
        limit_bytes: int,
        on_part: Callable[[WriteBatch], None] = lambda batch: None,
    ) -> None:
        """``pacer`` is the worker's; ``on_part`` is called with what each step of closing wrote.

        More than ``limit_bytes`` waiting for delivery are too many: see :meth:`wait_for_room`.
        """
        self._outbox = outbox
        self._source = source
        self._sender = sender
        self._pacer = pacer
        self._limit_bytes = limit_bytes
        self._on_part = on_part
        self._work = asyncio.Event()
        self._made = asyncio.Event()
        self._empty = asyncio.Event()
        self._delivered = asyncio.Event()
        self._ended = False
        self.wake()

    def wake(self) -> None:
        """There may be new batches, or parts to make."""
        self._empty.clear()
        self._work.set()

    async def wait_for_room(self) -> None:
        """Wait until no more waits for delivery than may, or until nothing is delivered any more.

        Whoever reads a log waits here first: one that is read faster than its windows are written
        would fill the disk.
        """
        while not self._ended and self._outbox.waiting_bytes > self._limit_bytes:
            self._delivered.clear()
            await self._delivered.wait()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until the outbox is empty; False where time ran out, and the rest waits in it."""
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Make parts and deliver until cancelled, side by side: under load there is always a part
        to make.

        ``Unreachable`` where the broker refuses for good.
        """
        tasks = [asyncio.create_task(loop) for loop in (self._make_parts(), self._deliver_all())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ended = True
            self._delivered.set()

    async def _make_parts(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._source.has_parts_to_make:
                await self._pacer.run(self._make_part)
                self._made.set()
            self._made.set()

    def _make_part(self) -> None:
        if self._source.has_parts_to_make:  # a seal that could not wait may have made the rest
            self._on_part(self._source.make_part())

    async def _deliver_all(self) -> None:
        while True:
            await self._made.wait()
            self._made.clear()
            while outbox_batch := self._outbox.oldest():
                await self._deliver(outbox_batch)
            if not (self._work.is_set() or self._source.has_parts_to_make):
                self._empty.set()

    async def _deliver(self, outbox_batch: OutboxBatch) -> None:
        while True:
            topic = ""
            try:
                for rows in outbox_batch.pages():
                    topic = rows[0].topic
                    sent = [await self._sender.send(row) for row in rows]
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
            self._outbox.remove_oldest()
            self._delivered.set()
            return
