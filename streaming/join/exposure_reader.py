"""Reads the exposures of the partitions that this worker owns, and concludes their outcomes.

A reader of its own rather than a Faust agent: where to read on stands in the state beside the
events' offset (law 2), and the owner of an events partition reads the exposures partition of that
number, whatever a rebalance does. There is nothing for a consumer group to say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from everfresh.contracts.errors import LogMismatch
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EXPOSURES, topic_name
from everfresh.streaming.fold.write_batch import Changes
from everfresh.streaming.log.probe import LogProbe, connect, log_identity

if TYPE_CHECKING:
    from everfresh.streaming.ownership import Owned

_PAUSE_SECONDS = 0.2  # nobody waits for an outcome; one write for many exposures
_AT_ONCE = 1000


class ExposureReader:
    """One per worker, on its event loop. Nothing but ``start`` may be called before it.

    ``now_ms`` is a lower bound of the broker's clock, ``None`` while unknown. ``note`` hears what
    each step has done.
    """

    def __init__(
        self,
        settings: Settings,
        now_ms: Callable[[], int | None],
        note: Callable[[Changes], None],
    ) -> None:
        self._servers = settings.kafka.bootstrap_servers
        self._topic = topic_name(settings.kafka.topic_prefix, EXPOSURES)
        self._now_ms = now_ms
        self._note = note
        self._reading: dict[int, Owned] = {}
        self.lag = 0
        """Exposures that have not been taken in, as of the last look."""

    async def start(self) -> None:
        """Connect; ``Unreachable`` where no broker answers or there is no such topic."""
        identity = await asyncio.to_thread(log_identity, self._servers, self._topic)
        self.probe = LogProbe(self._servers, identity)
        await self.probe.start()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            client_id="everfresh-exposures",
            group_id=None,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        await connect(self._consumer, self._servers)

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()
        await self.probe.stop()

    async def run(self, owned: Mapping[int, Owned]) -> None:
        """For ever. ``owned`` changes meanwhile; ``LogMismatch`` where retention was faster."""
        while True:
            self._follow(owned)
            more = False
            if self._reading:
                for one in self._reading.values():
                    await one.courier.room()
                with contextlib.suppress(KafkaError):
                    more = await self._read(owned) == _AT_ONCE
                    await self._advance(owned)
                await self._conclude(owned)
            await asyncio.sleep(0 if more else _PAUSE_SECONDS)

    def _follow(self, owned: Mapping[int, Owned]) -> None:
        """Read what is owned now, each from where its state says."""
        wanted = dict(owned)
        if wanted == self._reading:
            return
        self._consumer.assign([TopicPartition(self._topic, number) for number in wanted])
        for number, one in wanted.items():
            self._consumer.seek(TopicPartition(self._topic, number), one.partition.exposed)
        self._reading = wanted

    async def _read(self, owned: Mapping[int, Owned]) -> int:
        """Take in what has come; returns how many."""
        try:
            found = await self._consumer.getmany(timeout_ms=0, max_records=_AT_ONCE)
        except OffsetOutOfRangeError as error:
            raise LogMismatch(
                f"{self._topic} does not hold the next exposures to read ({error}): retention "
                "removed them unread; start the worker again to see how many"
            ) from None
        for place, records in found.items():
            one = self._reading[place.partition]
            if records and owned.get(place.partition) is one:
                self._done(one, one.partition.expose(records))
        return sum(map(len, found.values()))

    async def _advance(self, owned: Mapping[int, Owned]) -> None:
        """Tell idle partitions the time: to its end, everything has been read."""
        now_ms = self._now_ms()  # before the ends: what comes after them was appended later
        ends = await self.probe.ends(self._reading)
        lag = 0
        for number, one in self._reading.items():
            position = await self._consumer.position(TopicPartition(self._topic, number))
            lag += max(0, ends[number] - position)
            if now_ms is not None and position >= ends[number] and owned.get(number) is one:
                one.partition.exposures_reached(now_ms)
        self.lag = lag

    async def _conclude(self, owned: Mapping[int, Owned]) -> None:
        for number, one in self._reading.items():
            while owned.get(number) is one and (changes := one.partition.conclude()) is not None:
                self._done(one, changes)
                await asyncio.sleep(0)  # a step takes milliseconds; fetches come between

    def _done(self, one: Owned, changes: Changes) -> None:
        self._note(changes)
        if changes.parcels:
            one.courier.wake()
