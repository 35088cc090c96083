"""Reads a source's topic as a member of its group. A position is never moved in silence.

The group's committed offsets say where to go on; they are committed within the transactions that
write the events, with the topic's id beside them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from everfresh.contracts.errors import LogMismatch, Unreachable
from everfresh.contracts.settings import Settings, SourceSettings
from everfresh.streaming.sources.positions import Found, position
from everfresh.streaming.sources.topic import DENIED, GONE, SourceTopic

_BATCH_RECORDS = 2_000
_BATCH_BYTES = 8 * 1024 * 1024
_STEP_RECORDS = 250
_WAIT_S = 0.1
_ASK_S = 30.0
_log = logging.getLogger("everfresh.bridge")

Message = Any
"""A record of librdkafka; its own type hints let nearly every field be missing."""


class SourceReader:
    """One member of a source's group. Not thread-safe; Kafka calls back within its methods."""

    def __init__(
        self,
        name: str,
        index: int,
        settings: Settings,
        reported: Callable[[str], Mapping[int, int]],
    ) -> None:
        """``Unreachable`` where no broker answers or the topic is missing. ``reported`` is asked,
        with the topic's id, where Kafka has no offset: it says which a bridge last reported."""
        self._reported = reported
        self._name = name
        self._source: SourceSettings = settings.sources[name]
        self._topic = self._source.topic
        self.topic = SourceTopic(name, settings)
        self._next: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._moved = False
        self._cause: Exception | None = None
        self._first: dict[int, int] = {}
        self.gap = 0
        """Records that were found to have gone, since this was last set to 0."""
        self._consumer = Consumer(
            {
                **self.topic.options,
                "group.id": self.topic.group,
                # Whoever is killed and started again gets its partitions back at once.
                "group.instance.id": f"{self.topic.group}-{index}",
                "session.timeout.ms": settings.kafka.session_ms,
                "heartbeat.interval.ms": min(1_000, settings.kafka.session_ms // 3),
                "partition.assignment.strategy": "range",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "queued.max.messages.kbytes": 16_384,
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )

    def take(self) -> list[Message]:
        """The next records, in order per partition; none within a moment where nothing comes.

        ``LogMismatch`` where what comes next has gone, ``Unreachable`` where the topic has, or may
        not be read.
        """
        self.topic.look()
        if self._first:
            self._commit(self._first)
        taken: list[Message] = []
        size, until = 0, time.monotonic() + _WAIT_S
        while len(taken) < _BATCH_RECORDS and size < _BATCH_BYTES:
            left_s = until - time.monotonic()
            messages: list[Message] = self._consumer.consume(_STEP_RECORDS, max(0.0, left_s))
            if self._cause is not None:
                cause, self._cause = self._cause, None
                raise cause
            if self._moved:
                # What came along with a rebalance may be another member's by now.
                self._moved = False
                self.rewind()
                return []
            for message in messages:
                error = message.error()
                if error is not None:
                    self._note(error, message)
                    continue
                taken.append(message)
                size += len(message)
            if left_s <= 0:
                break
        if taken and not self.topic.is_same():
            self.rewind()
            return []
        return taken

    def after(self, messages: list[Message]) -> dict[int, int]:
        """The offsets to commit once these are settled, by partition."""
        return {message.partition(): message.offset() + 1 for message in messages}

    def settled(self, offsets: dict[int, int]) -> None:
        """These offsets are committed."""
        self._next.update(offsets)

    def committable(self, offsets: dict[int, int]) -> list[TopicPartition]:
        """As the transaction takes them."""
        return [
            TopicPartition(self._topic, partition, offset, self.topic.id)
            for partition, offset in offsets.items()
        ]

    def group(self) -> Any:
        """The membership, by which Kafka refuses offsets of a member that has been replaced."""
        return self._consumer.consumer_group_metadata()

    def commit_without_records(self) -> None:
        """Commit offsets that only transactions' markers have moved."""
        due = {
            partition: end
            for partition, end in self._ends.items()
            if partition in self._next and end > self._next[partition]
        }
        if due:
            self._commit(due)

    def rewind(self) -> None:
        """Read again from what is settled: a transaction was aborted."""
        self._ends.clear()
        self._consumer.assign(
            [TopicPartition(self._topic, number, offset) for number, offset in self._next.items()]
        )

    def idle(self) -> None:
        """Stay a member of the group while nothing is taken."""
        places = self._consumer.assignment()
        self._consumer.pause(places)
        message: Message = self._consumer.poll(0)
        self._consumer.resume(self._consumer.assignment())
        if message is not None and message.error() is not None:
            self._note(message.error(), message)
        elif message is not None:
            self._moved = True
        if self._moved:  # what is in hand may be another member's: it is read again
            raise Moved

    def positions(self) -> dict[int, int]:
        """The next offset of each partition that is owned here."""
        return dict(self._next)

    def lag(self) -> float:
        """Records of the owned partitions that are not settled; NaN until known."""
        behind = 0.0
        for partition, offset in self._next.items():
            place = TopicPartition(self._topic, partition)
            known = self._consumer.get_watermark_offsets(place, cached=True)
            if known is None or (high := known[1]) < 0:
                return float("nan")
            behind += max(0, high - max(offset, self._ends.get(partition, 0)))
        return behind

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._moved = True
        try:
            self.topic.identify()
            starts = self._positions(consumer, places)
        except (Unreachable, LogMismatch) as error:
            self._cause = error
            consumer.assign([])
            return
        except KafkaException as error:
            self._cause = self.topic.unreachable(error.args[0])
            consumer.assign([])
            return
        self._next = starts
        consumer.assign(
            [TopicPartition(self._topic, number, offset) for number, offset in starts.items()]
        )

    def _positions(self, consumer: Consumer, places: list[TopicPartition]) -> dict[int, int]:
        starts: dict[int, int] = {}
        self._first, self._ends = {}, {}
        committed = consumer.committed(places, timeout=_ASK_S)
        unknown = any(place.offset < 0 for place in committed)
        reported = self._reported(self.topic.id) if unknown else {}
        for place in committed:
            if place.error is not None:
                raise KafkaException(place.error)
            number = place.partition
            at = position(
                self._topic,
                self.topic.id,
                self._found(consumer, place, reported.get(number)),
                begin=self._source.begin,
                accept_gap=self._source.accept_gap,
                setting=f"sources.{self._name}",
            )
            starts[number] = at.offset
            self.gap += at.gap
            if at.first:
                self._first[number] = at.offset
                _log.info("%s partition %d begins at offset %d", self._topic, number, at.offset)
        return starts

    def _found(
        self, consumer: Consumer, committed: TopicPartition, reported: int | None = None
    ) -> Found:
        place = TopicPartition(self._topic, committed.partition)
        ends = consumer.get_watermark_offsets(place, timeout=_ASK_S)
        if ends is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        known = None if committed.offset < 0 else (committed.offset, committed.metadata or "")
        return Found(committed.partition, known, *ends, reported)

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._moved = True
        self._next, self._ends, self._first = {}, {}, {}
        consumer.unassign()

    def _commit(self, offsets: dict[int, int]) -> None:
        """Without a transaction; a group that is changing takes it later."""
        try:
            self._consumer.commit(offsets=self.committable(offsets), asynchronous=False)
        except KafkaException as error:
            _log.warning("offsets of %s are not committed yet: %s", self._topic, error)
            return
        self._next.update(offsets)
        self._first = {}

    def _note(self, error: KafkaError, message: Message) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self._ends[message.partition()] = message.offset()
        elif code == KafkaError._AUTO_OFFSET_RESET:
            raise self._out_of_range(message.partition())
        elif code in GONE or code in DENIED or error.fatal() or code == KafkaError._FATAL:
            raise self.topic.unreachable(error)
        else:
            _log.warning("%s: %s", self._topic, error)

    def _out_of_range(self, partition: int) -> Exception:
        """What was read next is not there any more. With ``accept_gap`` the next reader goes on."""
        try:
            self.topic.identify()
            place = TopicPartition(self._topic, partition)
            [committed] = self._consumer.committed([place], timeout=_ASK_S)
            position(
                self._topic,
                self.topic.id,
                self._found(self._consumer, committed),
                begin=self._source.begin,
                accept_gap=False,
                setting=f"sources.{self._name}",
            )
        except LogMismatch as error:
            return error
        except KafkaException as error:
            return self.topic.unreachable(error.args[0])
        return LogMismatch(
            f"source topic {self._topic} partition {partition} no longer has the record that was "
            "to be read next; start the bridge again"
        )


class Moved(Exception):
    """Partitions were assigned anew while records were in hand: they are to be dropped."""
