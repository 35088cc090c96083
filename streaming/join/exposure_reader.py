"""Reads the exposures of the partitions that this worker owns, and has their outcomes written.

A reader of its own rather than a Faust agent: where to read on stands in the state beside the
events' offset (law 2), and the owner of an events partition reads the exposures partition of that
number, whatever a rebalance does. A consumer group is not needed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from everfresh.contracts.errors import LogMismatch
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EXPOSURES, topic_name
from everfresh.streaming.log.clients import start_client
from everfresh.streaming.log.probe import LogProbe, log_identity
from everfresh.streaming.log.records import PlacedRecord
from everfresh.streaming.log.security import aiokafka_options
from everfresh.streaming.outbox.delivery import OutboxDelivery
from everfresh.streaming.state.write_batch import WriteBatch

_PAUSE_SECONDS = 0.2  # nobody waits for an outcome; one write for many exposures
_AT_ONCE = 1000
_log = logging.getLogger("everfresh.streaming")


class JoinedPartition(Protocol):
    """What the reader needs of a partition's state."""

    @property
    def next_exposure(self) -> int:
        """The offset of the next exposure to take in."""

    def add_exposures(self, records: Sequence[PlacedRecord]) -> WriteBatch:
        """Take exposures in, in log order."""

    def advance_exposures(self, now_ms: int) -> None:
        """All exposures that were appended before ``now_ms``, UTC, have been taken in."""

    def write_outcomes(self) -> WriteBatch | None:
        """Turn some requests whose horizon has passed into outcomes; ``None`` if none has."""


class OwnedJoin(Protocol):
    """What the reader needs of a partition that the worker owns."""

    @property
    def partition(self) -> JoinedPartition:
        """Its state."""

    @property
    def delivery(self) -> OutboxDelivery:
        """What delivers its outcomes."""


class ExposureReader:
    """One per worker, on its event loop. Nothing but ``start`` may be called before it.

    ``now_ms`` is a lower bound of the broker's clock, ``None`` while unknown. ``on_write`` is
    called with what each step has written.
    """

    def __init__(
        self,
        settings: Settings,
        now_ms: Callable[[], int | None],
        on_write: Callable[[WriteBatch], None],
    ) -> None:
        self._brokers = settings.kafka.brokers
        self._topic = topic_name(settings.kafka.topic_prefix, EXPOSURES)
        self._now_ms = now_ms
        self._on_write = on_write
        self._reading: dict[int, OwnedJoin] = {}
        self.lag = 0
        """Exposures that had not been taken in when the reader last asked."""
        self._waits = ""

    async def start(self) -> None:
        """Connect; ``Unreachable`` where no broker answers or there is no such topic."""
        identity = await asyncio.to_thread(log_identity, self._brokers, self._topic)
        self.probe = LogProbe(self._brokers, identity)
        await self.probe.start()
        self._consumer = AIOKafkaConsumer(
            **aiokafka_options(self._brokers),
            client_id="everfresh-exposures",
            group_id=None,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        await start_client(self._consumer, self._brokers)

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()
        await self.probe.stop()

    async def run(self, owned: Mapping[int, OwnedJoin]) -> None:
        """Runs until cancelled; ``owned`` changes meanwhile.

        ``LogMismatch`` where retention has removed exposures that were not read.
        """
        while True:
            self._follow(owned)
            more = False
            if self._reading:
                for mine in self._reading.values():
                    await mine.delivery.wait_for_room()
                try:
                    more = await self._read(owned) == _AT_ONCE
                    await self._advance(owned)
                    self._tell("")
                except KafkaError as error:
                    self._tell(f"{type(error).__name__}: {error}")
                await self._write_outcomes(owned)
            await asyncio.sleep(0 if more else _PAUSE_SECONDS)

    def _tell(self, waits: str) -> None:
        """Say once why exposures are not read; empty while they are."""
        if waits and waits != self._waits:
            _log.warning("exposures of %s wait, and are tried again: %s", self._topic, waits)
        self._waits = waits

    def _follow(self, owned: Mapping[int, OwnedJoin]) -> None:
        """Read what is owned now, each from where its state says."""
        wanted = dict(owned)
        if wanted == self._reading:
            return
        self._consumer.assign([TopicPartition(self._topic, number) for number in wanted])
        for number, mine in wanted.items():
            begin = mine.partition.next_exposure
            self._consumer.seek(TopicPartition(self._topic, number), begin)
        self._reading = wanted

    async def _read(self, owned: Mapping[int, OwnedJoin]) -> int:
        """Take in what has come; returns how many."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=0, max_records=_AT_ONCE)
        except OffsetOutOfRangeError as error:
            raise LogMismatch(
                f"{self._topic} does not hold the next exposures to read ({error}): retention "
                "removed them unread; start the worker again to see how many"
            ) from None
        for place, records in fetched.items():
            mine = self._reading[place.partition]
            if records and owned.get(place.partition) is mine:
                self._note(mine, mine.partition.add_exposures(records))
        return sum(map(len, fetched.values()))

    async def _advance(self, owned: Mapping[int, OwnedJoin]) -> None:
        """Tell idle partitions the time: to its end, everything has been read."""
        now_ms = self._now_ms()  # before the ends: what comes after them was appended later
        ends = await self.probe.ends(self._reading)
        lag = 0
        for number, mine in self._reading.items():
            position = await self._consumer.position(TopicPartition(self._topic, number))
            lag += max(0, ends[number] - position)
            if now_ms is not None and position >= ends[number] and owned.get(number) is mine:
                mine.partition.advance_exposures(now_ms)
        self.lag = lag

    async def _write_outcomes(self, owned: Mapping[int, OwnedJoin]) -> None:
        for number, mine in self._reading.items():
            while (
                owned.get(number) is mine and (batch := mine.partition.write_outcomes()) is not None
            ):
                self._note(mine, batch)
                await asyncio.sleep(0)  # a step takes milliseconds; fetches come between

    def _note(self, mine: OwnedJoin, batch: WriteBatch) -> None:
        self._on_write(batch)
        if batch.outbox_batches:
            mine.delivery.wake()
