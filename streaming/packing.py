"""Whole fetches as single events, so that the worker's cost per event is not Faust's.

The consumer packs what one poll brought for a partition of the hot topic into one record, whose
offset is the last one's; an ordinary agent then gets one :class:`Fetch` per event. Commits follow
as usual, but tell where monitoring stands and nothing else: on every (re)assignment reading resumes
at the offset that the *state* has reached (law 2), which the worker names through ``resume``.

Memory is bounded: at most ``broker_max_poll_records`` records in a poll, and at most
``stream_buffer_maxsize`` fetches wait for the agent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

import faust
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

Resume = Callable[[set[int]], Awaitable[Mapping[int, int]]]
Release = Callable[[set[int]], Awaitable[None]]


class Fetch(msgspec.Struct, frozen=True):
    """Records of one partition as one poll brought them, in log order, at least one."""

    partition: int
    records: list[ConsumerRecord[bytes, bytes]]


class _CommittedThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        # Faust has no setting for it: what an aborted transaction wrote is no event.
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class FetchConsumer(driver.Consumer):
    """Faust's consumer, packing the hot topic and resuming where the state says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.packed_end: dict[int, int] = {}

    def _new_consumer_thread(self) -> _CommittedThread:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, Any]:
        fetched = await super()._getmany(active_partitions, timeout)
        hot = self._hot()
        return {
            tp: [self._pack(tp, records)] if tp.topic == hot.topic else records
            for tp, records in fetched.items()
        }

    def _pack(
        self, tp: TP, records: list[ConsumerRecord[bytes, bytes]]
    ) -> ConsumerRecord[bytes, Fetch]:
        last = records[-1]
        self.packed_end[tp.partition] = last.offset + 1
        fetch = Fetch(tp.partition, records)
        return ConsumerRecord(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp,
            last.timestamp_type,
            None,
            fetch,
            None,
            -1,
            -1,
            (),
        )

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the state's offsets, whatever the group has committed."""
        positions: dict[TP, int] = dict(await super().seek_to_committed())
        hot = self._hot()
        assigned = {tp.partition for tp in self.assignment() if tp.topic == hot.topic}
        resumed = await hot.resume(assigned)
        positions |= {TP(hot.topic, number): at for number, at in resumed.items()}
        self.packed_end = dict(resumed)
        await self.seek_wait(positions)
        return positions

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Give partitions back once nothing works on them any more."""
        await super().on_partitions_revoked(revoked)
        hot = self._hot()
        await hot.release({tp.partition for tp in revoked if tp.topic == hot.topic})

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing to note: a packed record stands for all offsets before its own."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: fetches of a partition are handled one by one, in order."""
        acked = self._acked[tp]
        if not acked:
            return None
        newest = max(acked)
        self._acked_index[tp].difference_update(acked)
        acked.clear()
        return int(newest) + 1

    def _hot(self) -> FetchTransport:
        return cast(FetchTransport, self.transport)


class FetchTransport(driver.Transport):
    """Set it as ``app.transport``, before the app starts."""

    Consumer = FetchConsumer

    def __init__(
        self, urls: Iterable[URL], app: faust.App, topic: str, resume: Resume, release: Release
    ) -> None:
        """``resume`` opens partitions of ``topic`` and tells their offsets; ``release`` ends."""
        super().__init__(list(urls), app)
        self.topic = topic
        self.resume = resume
        self.release = release


class FetchSchema(faust.Schema[Any, Any]):
    """Hands the packed fetch through as it is; there is nothing to deserialize."""

    def loads_key(self, app: Any, message: Any, **options: Any) -> None:
        """No key: a fetch holds many."""

    def loads_value(self, app: Any, message: Any, **options: Any) -> Fetch:
        """The :class:`Fetch` that the consumer packed."""
        return cast(Fetch, message.value)
