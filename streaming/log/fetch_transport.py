"""Whole fetches as single events, so that the worker's cost per event is not Faust's.

The consumer packs what one poll brought for a partition of the hot topic into one record, whose
offset is the last one's; an ordinary agent then gets one :class:`Fetch` per event. Commits follow
as usual, but tell where monitoring stands and nothing else: on every (re)assignment reading resumes
at the offset that the *state* has reached (law 2), which the worker names through ``resume``.

Records of the hot topic stay as aiokafka parses them: its ``ConsumerRecord`` adds nothing the fold
needs, and to make one costs as much as to parse it.

Memory is bounded: at most twice ``broker_max_poll_records`` records in a poll, which takes two
answers, and at most ``stream_buffer_maxsize`` fetches wait for the agent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, cast

import faust
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from everfresh.streaming.fold.dead_letters import Record

Resume = Callable[[set[int]], Awaitable[Mapping[int, int]]]
Release = Callable[[set[int]], Awaitable[None]]


_REQUEST_MS = 90_000
_AT_ONCE = {"timeout": 0.02}  # seconds: a broker that has records answers in a few milliseconds


class FetchedRecord(Record, Protocol):
    """A record as the driver hands it over."""

    @property
    def timestamp_type(self) -> int: ...  # noqa: D102 - 0 the producer's time, 1 the broker's


class Fetch(msgspec.Struct, frozen=True):
    """Records of one partition as one poll brought them, in log order, at least one."""

    partition: int
    records: list[FetchedRecord]


class _BareRecords:
    """Stands in for aiokafka's ``PartitionRecords`` and leaves out the ``ConsumerRecord``."""

    def __init__(self, records: Any) -> None:
        self._records = records
        records._consumer_record = lambda tp, record: record

    @property
    def next_fetch_offset(self) -> int:
        return int(self._records.next_fetch_offset)

    def __iter__(self) -> Iterator[FetchedRecord]:
        return cast(Iterator[FetchedRecord], self._records._records_iterator)


class _BareResults(OrderedDict[Any, Any]):
    """Where aiokafka keeps what was fetched and not yet taken; those of ``topic`` become bare."""

    def __init__(self, topic: str, held: Mapping[Any, Any]) -> None:
        super().__init__()
        self._topic = topic
        for tp, result in held.items():
            self[tp] = result

    def __setitem__(self, tp: Any, result: Any) -> None:
        if tp.topic == self._topic and isinstance(result, FetchResult):
            result._partition_records = _BareRecords(result._partition_records)
        super().__setitem__(tp, result)


class FetchThread(driver.AIOKafkaConsumerThread):
    """Faust's fetching thread, with bare records of the hot topic."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        # Faust has no setting for it: what an aborted transaction wrote is no event.
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        # Faust's setting is also how long partitions may take to open, which has no limit here.
        consumer._request_timeout_ms = consumer._client._request_timeout_ms = _REQUEST_MS
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[TP], *args: Any, **options: Any
    ) -> Any:
        fetcher = consumer._fetcher
        if not isinstance(fetcher._records, _BareResults):
            fetcher._records = _BareResults(
                cast(FetchTransport, self.transport).topic, fetcher._records
            )
        # What was fetched ahead is as old as the last call, and nothing was fetched since: while it
        # lay there, aiokafka asked for no more. So it is taken together with the answer to the
        # request that taking it lets go.
        ahead = bool(fetcher._records)
        fetch = super()._fetch_records
        found = await fetch(consumer, active_partitions, *args, **options)
        self._note_taken(found)
        if not (ahead and found):
            return found
        more = await fetch(consumer, active_partitions, *args, **(options | _AT_ONCE))
        self._note_taken(more)
        return followed(found, more)

    def _note_taken(self, found: Mapping[TP, list[Any]]) -> None:
        # In one step with the consumer's position, which this thread alone moves and tells: whoever
        # learns a position finds here at least what was taken up to it.
        reader = cast(FetchConsumer, self.consumer)
        topic = cast(FetchTransport, self.transport).topic
        for tp, records in found.items():
            if tp.topic == topic and records:
                reader.taken_end[tp.partition] = records[-1].offset + 1


def followed(found: Mapping[TP, list[Any]], more: Mapping[TP, list[Any]]) -> dict[TP, list[Any]]:
    """Both as one, in log order.

    Where reading was sent back between the two, what came before is read again, and left out here.
    """
    whole = dict(found)
    for tp, records in more.items():
        held = whole.get(tp, [])
        back = held and records[0].offset <= held[-1].offset
        whole[tp] = records if back else held + records
    return whole


class FetchConsumer(driver.Consumer):
    """Faust's consumer, packing the hot topic and resuming where the state says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.taken_end: dict[int, int] = {}  # the fetching thread writes it
        self.sought: set[int] = set()
        """Partitions that are read from where their states end; others stand where the group has
        committed, or nowhere."""
        self._between = False  # revoked, and not assigned anew
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, Any]:
        fetched = await super()._getmany(active_partitions, timeout)
        hot = self._hot()
        return {
            tp: [self._pack(tp, records)] if tp.topic == hot.topic else records
            for tp, records in fetched.items()
        }

    def _pack(self, tp: TP, records: list[FetchedRecord]) -> ConsumerRecord[bytes, Fetch]:
        last = records[-1]
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
        self.sought.clear()
        positions: dict[TP, int] = dict(await super().seek_to_committed())
        if self._between:
            # Faust's fetching loop seeks back when a poll comes home late. The group still names
            # what has just been given back, and nobody would give it back a second time.
            return {}
        hot = self._hot()
        assigned = {tp.partition for tp in self.assignment() if tp.topic == hot.topic}
        resumed = await hot.resume(assigned)
        positions |= {TP(hot.topic, number): at for number, at in resumed.items()}
        await self.seek_wait(positions)
        self.sought |= resumed.keys()
        return positions

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """From here on, seeking opens what is assigned."""
        self._between = False
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Give partitions back once nothing works on them any more."""
        self._between = True
        self.sought.clear()
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
