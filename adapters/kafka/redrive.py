"""Sends dead letters back to the topic they came from, and records which.

Each goes to the partition that its key belongs to; one without a key, to the one it came from.
One that came from a source is made into an event first, and goes to the events.

For every batch of dead letters, in this order:

1. ``begun`` on the ``redrives`` topic names the letters, where their topics end now, and the batch;
2. the original bytes are produced, with the letter's name in the header ``redriven_from`` and the
   batch's in ``redriven_by``, as the last two headers;
3. ``sent`` names the letters that every replica of the topic has stored.

Where a run is killed between 1 and 3, the next run reads the topics from the ends that ``begun``
named. Letters it finds there are marked as sent; the others are still to be sent. So each letter is
sent once, as long as one re-drive runs at a time. A record that is rejected again becomes a new
dead letter, with a new place.

A record that only claims to be a letter sent again does not know the batch's name, which is drawn
when the batch begins. What stands on ``redrives`` and is no such record is counted and left out.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from everfresh.adapters.kafka.consumers import LARGEST_RECORD, connect_consumer, read_until, reading
from everfresh.adapters.kafka.security.options import python_options
from everfresh.contracts.dead_letter import REDRIVEN_BY, REDRIVEN_FROM, DeadLetter
from everfresh.contracts.errors import DeliveryError, ForeignRecord, Unreachable
from everfresh.contracts.foreign import decoded
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import EVENTS, EXPOSURES, REDRIVES, topic_name

BATCH = 500
_FRAME_BYTES = 65_536
_WAIT_S = 30.0


_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Partition = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Begun(msgspec.Struct, frozen=True, tag="begun"):
    """``batch`` is empty in records of older releases, which named no batch in their headers."""

    letters: list[str]
    ends: dict[str, dict[_Partition, _Number]]
    batch: str = ""


class _Sent(msgspec.Struct, frozen=True, tag="sent"):
    letters: list[str]


_MARK: msgspec.json.Decoder[_Begun | _Sent] = msgspec.json.Decoder(_Begun | _Sent)


class Redriver:
    """One run of re-driving. ``Unreachable`` where no broker answers.

    ``foreign`` counts what stands on the ``redrives`` topic and is no record of a re-drive.
    """

    def __init__(
        self,
        brokers: Brokers,
        topic_prefix: str,
        prepare: Callable[[DeadLetter], DeadLetter] = lambda letter: letter,
    ) -> None:
        """``prepare`` says what is sent for a letter, and to which of our topics."""
        self._brokers = brokers
        self._prepare = prepare
        self._marks = topic_name(topic_prefix, REDRIVES)
        self._origins = {topic_name(topic_prefix, spec) for spec in (EVENTS, EXPOSURES)}
        self._batch = ""
        self.foreign = 0
        self._already_there: set[str] = set()
        self._producer: KafkaProducer

    def sent(self) -> set[str]:
        """Identities of all letters sent so far, those of a killed run included. Only reads."""
        done: set[str] = set()
        begun: list[_Begun] = []
        for mark in self._read_marks():
            if isinstance(mark, _Sent):
                done.update(mark.letters)
            else:
                begun.append(mark)
        open_letters = {letter for mark in begun for letter in mark.letters} - done
        if open_letters:
            self._already_there = self._arrived(open_letters, begun)
        return done | self._already_there

    def send(self, letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
        """Send the letters, and yield each once its topic has stored it.

        ``DeliveryError`` after the first batch in which a topic rejected a letter. A letter whose
        value was truncated must not be among them.
        """
        with self._connect() as self._producer:
            if self._already_there:
                self._mark(_Sent(sorted(self._already_there)))
            remaining = iter(letters)
            while batch := list(itertools.islice(remaining, BATCH)):
                yield from self._send(batch)

    def _send(self, batch: Sequence[DeadLetter]) -> Iterator[DeadLetter]:
        prepared = [self._prepare(letter) for letter in batch]
        places = {(letter.topic, letter.partition) for letter in prepared}
        self._batch = uuid.uuid4().hex
        letters = [letter.identity for letter in batch]
        self._mark(_Begun(letters, self._ends(places), self._batch))
        waiting = [
            (letter, self._produce(ready, letter.identity))
            for letter, ready in zip(batch, prepared, strict=True)
        ]
        arrived: list[DeadLetter] = []
        refused: list[str] = []
        for letter, future in waiting:
            try:
                future.get(timeout=_WAIT_S)
                arrived.append(letter)
            except KafkaError as error:
                refused.append(f"{letter.identity}: {error}")
        self._mark(_Sent([letter.identity for letter in arrived]))
        yield from arrived
        if refused:
            raise DeliveryError(
                f"{len(refused)} dead letters were refused by their topics, first {refused[0]}; "
                "those that were sent are marked: run it again to send the rest"
            )

    def _produce(self, letter: DeadLetter, identity: str) -> Any:
        headers = [
            *(each for each in letter.headers if each[0] not in (REDRIVEN_FROM, REDRIVEN_BY)),
            (REDRIVEN_FROM, identity.encode()),
            (REDRIVEN_BY, self._batch.encode()),
        ]
        return self._producer.send(
            letter.topic,
            value=letter.value,
            key=letter.key,
            headers=headers,
            # kafka-python chooses by murmur2: one user, one partition.
            partition=None if letter.key else letter.partition,
        )

    def _mark(self, mark: _Begun | _Sent) -> None:
        try:
            future = self._producer.send(self._marks, value=msgspec.json.encode(mark))
            future.get(timeout=_WAIT_S)
        except KafkaError as error:
            raise DeliveryError(
                f"{self._marks} does not accept the record of what is re-driven ({error}); nothing "
                "more is sent: check the broker and run it again"
            ) from None

    def _ends(self, places: Iterable[tuple[str, int]]) -> dict[str, dict[int, int]]:
        wanted = {TopicPartition(*place) for place in places}
        with connect_consumer(self._brokers, {part.topic for part in wanted}) as consumer:
            if missing := wanted - consumer.assignment():
                part = min(missing)
                raise DeliveryError(
                    f"topic {part.topic} has no partition {part.partition} any more, and dead "
                    "letters came from it; leave them out with --topic or --partition"
                )
            ends = consumer.end_offsets(list(consumer.assignment()))
        by_topic: dict[str, dict[int, int]] = {}
        for part, end in ends.items():
            by_topic.setdefault(part.topic, {})[part.partition] = end
        return by_topic

    def _arrived(self, letters: set[str], begun: Iterable[_Begun]) -> set[str]:
        """Which of these letters are in their topics, at or after where their batch began."""
        starts: dict[TopicPartition, int] = {}
        headers: dict[tuple[Any, ...], str] = {}
        for mark in begun:
            if letters.isdisjoint(mark.letters):
                continue
            headers |= {
                _marks_of(letter, mark.batch): letter for letter in letters & {*mark.letters}
            }
            for topic in mark.ends.keys() & self._origins:
                for number, end in mark.ends[topic].items():
                    part = TopicPartition(topic, number)
                    starts[part] = min(end, starts.get(part, end))
        found = (
            headers.get(tuple(record.headers[-2:])) or headers.get(tuple(record.headers[-1:]))
            for record in self._records(starts)
        )
        return {letter for letter in found if letter is not None}

    def _read_marks(self) -> Iterator[_Begun | _Sent]:
        with connect_consumer(self._brokers, [self._marks]) as consumer:
            starts = consumer.beginning_offsets(consumer.assignment())
        for record in self._records(starts):
            try:
                yield decoded(_MARK.decode, record.value)
            except ForeignRecord:
                self.foreign += 1

    def _records(self, starts: Mapping[TopicPartition, int]) -> Iterator[Any]:
        """Records from these offsets, or from the oldest kept, to the ends as they are now.

        Partitions that are not there, which only a forged record names, have none.
        """
        topics = {part.topic for part in starts}
        with (
            reading(", ".join(sorted(topics)), self._brokers),
            connect_consumer(self._brokers, topics) as consumer,
        ):
            known = [part for part in starts if part in consumer.assignment()]
            consumer.assign(known)
            ends = consumer.end_offsets(known)
            first = consumer.beginning_offsets(known)
            for part in known:
                consumer.seek(part, min(max(starts[part], first[part]), ends[part]))
            for _, records in read_until(consumer, ends):
                yield from records

    def _connect(self) -> KafkaProducer:
        try:
            return KafkaProducer(
                **python_options(self._brokers),
                acks="all",
                allow_auto_create_topics=False,
                max_request_size=LARGEST_RECORD + _FRAME_BYTES,
                max_block_ms=5_000,
                delivery_timeout_ms=25_000,
                request_timeout_ms=10_000,
            )
        except KafkaError as error:
            raise Unreachable(
                f"the Kafka broker at {self._brokers} does not answer: {error}; check that it is up"
            ) from None


def _marks_of(letter: str, batch: str) -> tuple[tuple[str, bytes], ...]:
    """The last headers of a letter that was sent again."""
    named = (REDRIVEN_FROM, letter.encode())
    return (named, (REDRIVEN_BY, batch.encode())) if batch else (named,)
