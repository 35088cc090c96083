"""Whole fetches as single events; and the patches of Faust's and aiokafka's private parts.

So the worker's cost per event is not Faust's. The consumer packs what one poll brought for a
partition of the events topic into one record, whose offset is the last one's; an ordinary agent
then gets one :class:`Fetch` per event. Commits follow as usual, but serve monitoring alone: on
every assignment reading resumes at the offset that the *state* has reached (law 2), which the
worker names through ``resume``.

Records of the events topic stay as aiokafka parses them: its ``ConsumerRecord`` adds nothing that
the fold needs, and to make one costs as much as to parse it.

Memory is bounded: a poll takes two answers, at most twice ``broker_max_poll_records`` records; at
most ``stream_buffer_maxsize`` fetches wait for the agent.

Private parts that are used or overridden here, as read in the two versions named below:

- aiokafka: ``AIOKafkaConsumer._fetcher``, ``._client``, ``._isolation_level`` and
  ``._request_timeout_ms``; ``Fetcher._records``; ``FetchResult._partition_records``;
  ``PartitionRecords._consumer_record``, ``._records_iterator`` and ``.next_fetch_offset``.
- Faust's aiokafka driver: ``AIOKafkaConsumerThread._create_worker_consumer`` and
  ``._fetch_records``; ``Consumer._new_consumer_thread``, ``._getmany``, ``._add_gap``,
  ``._new_offset``, ``._acked`` and ``._acked_index``.

One more patch of aiokafka is in ``header_names``. A test fails when either project has moved: read
these parts again, then name the new version.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from everfresh.streaming.log.header_names import forgive_header_names
from everfresh.streaming.log.records import Fetch, FetchedRecord

FAUST_VERSION = "0.15.3"
AIOKAFKA_VERSION = "0.14.0"

Resume = Callable[[set[int]], Awaitable[Mapping[int, int]]]
Release = Callable[[set[int]], Awaitable[None]]

_REQUEST_MS = 90_000
_AT_ONCE = {"timeout": 0.02}  # seconds: a broker that has records answers in a few milliseconds


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
    """Where aiokafka keeps what was fetched and not yet taken; records of ``topic`` become bare."""

    def __init__(self, topic: str, present: Mapping[Any, Any]) -> None:
        super().__init__()
        self._topic = topic
        for tp, result in present.items():
            self[tp] = result

    def __setitem__(self, tp: Any, result: Any) -> None:
        if tp.topic == self._topic and isinstance(result, FetchResult):
            result._partition_records = _BareRecords(result._partition_records)
        super().__setitem__(tp, result)


def take_bare_records(consumer: AIOKafkaConsumer, topic: str) -> None:
    """From now on, ``consumer`` returns bare records of ``topic``. Harmless twice."""
    fetcher = consumer._fetcher
    if not isinstance(fetcher._records, _BareResults):
        fetcher._records = _BareResults(topic, fetcher._records)


class FetchThread(driver.AIOKafkaConsumerThread):
    """Faust's fetching thread, with bare records of the events topic."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        forgive_header_names()
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
        take_bare_records(consumer, cast(FetchTransport, self.transport).topic)
        # What was fetched ahead is as old as the last call, and nothing was fetched since: while it
        # lay there, aiokafka asked for no more. So it is taken together with the answer to the
        # request that taking it lets go.
        ahead = bool(fetcher._records)
        fetch = super()._fetch_records
        first = await fetch(consumer, active_partitions, *args, **options)
        self._note_taken(first)
        if not (ahead and first):
            return first
        second = await fetch(consumer, active_partitions, *args, **(options | _AT_ONCE))
        self._note_taken(second)
        return concatenated(first, second)

    def _note_taken(self, answer: Mapping[TP, list[Any]]) -> None:
        # In one step with the consumer's position, which this thread alone moves and tells: whoever
        # learns a position finds here at least what was taken up to it.
        reader = cast(FetchConsumer, self.consumer)
        topic = cast(FetchTransport, self.transport).topic
        for tp, records in answer.items():
            if tp.topic == topic and records:
                reader.taken_end[tp.partition] = records[-1].offset + 1


def concatenated(
    first: Mapping[TP, list[Any]], second: Mapping[TP, list[Any]]
) -> dict[TP, list[Any]]:
    """The records of two answers as one, in log order.

    Where reading was sent back between the two, the first one's records will be read again, and are
    left out here.
    """
    together = dict(first)
    for tp, records in second.items():
        before = together.get(tp, [])
        sent_back = before and records[0].offset <= before[-1].offset
        together[tp] = records if sent_back else before + records
    return together


class FetchConsumer(driver.Consumer):
    """Faust's consumer, packing the events topic and resuming where the state says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.taken_end: dict[int, int] = {}
        """The offset after the last record taken, by partition; the fetching thread writes it."""
        self.resumed: set[int] = set()
        """Partitions that are read from where their states end; others stand where the group has
        committed, or nowhere."""
        self._revoked = False  # and not assigned anew
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, Any]:
        fetched = await super()._getmany(active_partitions, timeout)
        events = self._transport().topic
        return {
            tp: [self._pack(tp, records)] if tp.topic == events else records
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
        self.resumed.clear()
        positions: dict[TP, int] = dict(await super().seek_to_committed())
        if self._revoked:
            # Faust's fetching loop seeks back when a poll comes home late. The group still names
            # what has just been given back, and nobody would give it back a second time.
            return {}
        transport = self._transport()
        topic = transport.topic
        assigned = {tp.partition for tp in self.assignment() if tp.topic == topic}
        resumed = await transport.resume(assigned)
        positions |= {TP(topic, number): offset for number, offset in resumed.items()}
        await self.seek_wait(positions)
        self.resumed |= resumed.keys()
        return positions

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """From here on, seeking opens what is assigned."""
        self._revoked = False
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Give partitions back once nothing works on them any more."""
        self._revoked = True
        self.resumed.clear()
        await super().on_partitions_revoked(revoked)
        transport = self._transport()
        await transport.release({tp.partition for tp in revoked if tp.topic == transport.topic})

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

    def _transport(self) -> FetchTransport:
        return cast(FetchTransport, self.transport)


class FetchTransport(driver.Transport):
    """Set it as ``app.transport``, before the app starts."""

    Consumer = FetchConsumer

    def __init__(
        self, urls: Iterable[URL], app: faust.App, topic: str, resume: Resume, release: Release
    ) -> None:
        """``resume`` opens partitions of ``topic`` and returns their offsets; ``release`` closes
        them."""
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
