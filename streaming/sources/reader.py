"""Reads a source's topic as a member of its group. A position is never moved in silence.

The group's committed offsets say where to go on; they are committed within the transactions that
write the events, with the topic's id beside them.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.rights import missing_right
from everfresh.adapters.kafka.security.options import librdkafka_options
from everfresh.contracts.errors import LogMismatch, Unreachable
from everfresh.contracts.settings import Settings, SourceSettings
from everfresh.contracts.topics import source_group
from everfresh.streaming.sources.positions import Found, position

_BATCH_RECORDS = 2_000
_BATCH_BYTES = 8 * 1024 * 1024
_STEP_RECORDS = 250
_WAIT_S = 0.1
_ASK_S = 30.0
_LOOK_S = 5.0
_log = logging.getLogger("everfresh.bridge")

Message = Any
"""A record of librdkafka; its own type hints let nearly every field be missing."""

_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)


class SourceReader:
    """One member of a source's group. Not thread-safe; Kafka calls back within its methods."""

    def __init__(self, name: str, index: int, settings: Settings) -> None:
        """``Unreachable`` where no broker answers or the topic is missing."""
        self._name = name
        self._source: SourceSettings = settings.sources[name]
        self._topic = self._source.topic
        self._brokers = settings.kafka.brokers
        require_broker(self._brokers)
        options = {
            **librdkafka_options(self._brokers),
            "client.id": f"everfresh-bridge-{name}",
            "log_level": 0,
        }
        self._admin = AdminClient(options)
        self._group = source_group(settings.kafka.topic_prefix, name)
        self.topic_id = self._ask_topic_id()
        self._looked_s = time.monotonic()
        self._next: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._moved = False
        self._cause: Exception | None = None
        self.gap = 0
        """Records that were found to have gone, since this was last set to 0."""
        self._consumer = Consumer(
            {
                **options,
                "group.id": self._group,
                # Whoever is killed and started again gets its partitions back at once.
                "group.instance.id": f"{self._group}-{index}",
                "session.timeout.ms": settings.kafka.session_ms,
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
        self._look_at_topic()
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
            TopicPartition(self._topic, partition, offset, self.topic_id)
            for partition, offset in offsets.items()
        ]

    def group(self) -> Any:
        """The membership, by which Kafka refuses offsets of a member that has been replaced."""
        return self._consumer.consumer_group_metadata()

    def commit_without_records(self) -> None:
        """Commit first positions, and offsets that only transactions' markers have moved."""
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
        message = self._consumer.poll(0)
        self._consumer.resume(self._consumer.assignment())
        if self._moved or (message is not None and message.error() is None):
            self._moved = True  # what is in hand may be another member's: it is read again
            raise Moved

    def lag(self) -> tuple[int, float]:
        """Partitions that are owned here, and records that are not settled; NaN until known."""
        behind = 0.0
        for partition, offset in self._next.items():
            place = TopicPartition(self._topic, partition)
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
            if high < 0:
                return len(self._next), float("nan")
            behind += max(0, high - max(offset, self._ends.get(partition, 0)))
        return len(self._next), behind

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._moved = True
        try:
            self.topic_id = self._ask_topic_id()
            starts = self._positions(consumer, places)
        except (Unreachable, LogMismatch) as error:
            self._cause = error
            consumer.assign([])
            return
        except KafkaException as error:
            self._cause = self._unreachable(error.args[0])
            consumer.assign([])
            return
        self._next = starts
        self._ends.clear()
        consumer.assign(
            [TopicPartition(self._topic, number, offset) for number, offset in starts.items()]
        )

    def _positions(self, consumer: Consumer, places: list[TopicPartition]) -> dict[int, int]:
        starts: dict[int, int] = {}
        first: dict[int, int] = {}
        for place in consumer.committed(places, timeout=_ASK_S):
            if place.error is not None:
                raise KafkaException(place.error)
            number = place.partition
            low, high = consumer.get_watermark_offsets(
                TopicPartition(self._topic, number), timeout=_ASK_S
            )
            known = None if place.offset < 0 else (place.offset, place.metadata or "")
            at = position(
                self._topic,
                self.topic_id,
                Found(number, known, low, high),
                begin=self._source.begin,
                accept_gap=self._source.accept_gap,
                setting=f"sources.{self._name}",
            )
            starts[number] = at.offset
            self.gap += at.gap
            if at.first:
                first[number] = at.offset
                _log.info("%s partition %d begins at offset %d", self._topic, number, at.offset)
        if first:
            self._commit(first)
        return starts

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._moved = True
        self._next, self._ends = {}, {}
        consumer.unassign()

    def _commit(self, offsets: dict[int, int]) -> None:
        self._consumer.commit(offsets=self.committable(offsets), asynchronous=False)
        self._next.update(offsets)

    def _note(self, error: KafkaError, message: Message) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self._ends[message.partition()] = message.offset()
        elif code == KafkaError._AUTO_OFFSET_RESET:
            raise self._out_of_range(message.partition())
        elif code in _GONE:
            raise Unreachable(f"source topic {self._topic} is not at {self._brokers}; create it")
        elif code in _DENIED or error.fatal():
            raise self._unreachable(error)
        else:
            _log.warning("%s: %s", self._topic, error)

    def _out_of_range(self, partition: int) -> Exception:
        """What was read next is not there any more. With ``accept_gap`` the next reader goes on."""
        try:
            self.topic_id = self._ask_topic_id()
            place = TopicPartition(self._topic, partition)
            [committed] = self._consumer.committed([place], timeout=_ASK_S)
            low, high = self._consumer.get_watermark_offsets(place, timeout=_ASK_S)
            known = None if committed.offset < 0 else (committed.offset, committed.metadata or "")
            position(
                self._topic,
                self.topic_id,
                Found(partition, known, low, high),
                begin=self._source.begin,
                accept_gap=False,
                setting=f"sources.{self._name}",
            )
        except LogMismatch as error:
            return error
        except KafkaException as error:
            return self._unreachable(error.args[0])
        return LogMismatch(
            f"source topic {self._topic} partition {partition} no longer has the record that was "
            "to be read next; start the bridge again"
        )

    def _look_at_topic(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        before = self.topic_id
        found = self._ask_topic_id()
        if found != before:
            raise LogMismatch(
                f"source topic {self._topic} was deleted and created again: its id was {before} "
                f"and is {found}; start the bridge again, which says where it would go on"
            )

    def _ask_topic_id(self) -> str:
        try:
            asked = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=10)
            return str(asked[self._topic].result().topic_id)
        except KafkaException as error:
            if error.args[0].code() in _GONE:
                raise Unreachable(
                    f"source topic {self._topic} is not at {self._brokers}; create it, or correct "
                    f"sources.{self._name}.topic"
                ) from None
            raise self._unreachable(error.args[0]) from None

    def _unreachable(self, error: KafkaError) -> Unreachable:
        code = error.code()
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return Unreachable(missing_right(self._brokers, f"Read on topic {self._topic}"))
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return Unreachable(missing_right(self._brokers, f"Read on group {self._group}"))
        if code in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED):
            return Unreachable(
                f"another bridge of source {self._name} runs with the same index; give this one "
                "another (--index)"
            )
        return Unreachable(
            f"source topic {self._topic} cannot be read at {self._brokers}: {error.str()}; check "
            "that the broker is up"
        )


class Moved(Exception):
    """Partitions were assigned anew while records were in hand: they are to be dropped."""
