"""Sends dead letters back to the topic they came from, and records which.

Each goes to the partition that its key belongs to; one without a key, to the one it came from.

For every batch of dead letters, in this order:

1. ``begun`` on the ``redrives`` topic names the letters, and where their topics end now;
2. the original bytes are produced, with the letter's name in the header ``redriven_from``;
3. ``sent`` names the letters that every replica of the topic has stored.

Where a run is killed between 1 and 3, the next run reads the topics from the ends that ``begun``
named. Letters it finds there are marked as sent; the others are still to be sent. So each letter is
sent once, as long as one re-drive runs at a time. A record that is rejected again becomes a new
dead letter, with a new place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from everfresh.adapters.kafka.consumers import LARGEST_RECORD, connect_consumer
from everfresh.contracts.dead_letter import REDRIVEN_FROM, DeadLetter
from everfresh.contracts.errors import DeliveryError, Unreachable
from everfresh.contracts.topics import REDRIVES, topic_name

BATCH = 500
_FRAME_BYTES = 65_536
_WAIT_S = 30.0


class _Begun(msgspec.Struct, frozen=True, tag="begun"):
    letters: list[str]
    ends: dict[str, dict[int, int]]


class _Sent(msgspec.Struct, frozen=True, tag="sent"):
    letters: list[str]


_MARK: msgspec.json.Decoder[_Begun | _Sent] = msgspec.json.Decoder(_Begun | _Sent)


class Redriver:
    """One run of re-driving. ``Unreachable`` where no broker answers."""

    def __init__(self, bootstrap_servers: str, topic_prefix: str) -> None:
        self._servers = bootstrap_servers
        self._marks = topic_name(topic_prefix, REDRIVES)
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
        places = {(letter.topic, letter.partition) for letter in batch}
        self._mark(_Begun([letter.identity for letter in batch], self._ends(places)))
        waiting = [(letter, self._produce(letter)) for letter in batch]
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

    def _produce(self, letter: DeadLetter) -> Any:
        headers = [*letter.headers, (REDRIVEN_FROM, letter.identity.encode())]
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
        with connect_consumer(self._servers, {part.topic for part in wanted}) as consumer:
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
        for mark in begun:
            if not letters.isdisjoint(mark.letters):
                for topic, ends in mark.ends.items():
                    for number, end in ends.items():
                        part = TopicPartition(topic, number)
                        starts[part] = min(end, starts.get(part, end))
        names = {letter.encode() for letter in letters}
        return {
            content.decode()
            for record in self._records(starts)
            for name, content in record.headers
            if name == REDRIVEN_FROM and content in names
        }

    def _read_marks(self) -> Iterator[_Begun | _Sent]:
        with connect_consumer(self._servers, [self._marks]) as consumer:
            starts = consumer.beginning_offsets(consumer.assignment())
        for record in self._records(starts):
            try:
                yield _MARK.decode(record.value or b"")
            except msgspec.MsgspecError as error:
                raise DeliveryError(
                    f"offset {record.offset} of {self._marks} is not a record of a re-drive "
                    f"({error}); nothing is sent: find out what else writes to that topic"
                ) from None

    def _records(self, starts: Mapping[TopicPartition, int]) -> Iterator[Any]:
        """Records from these offsets, or from the oldest kept, to the ends as they are now."""
        with connect_consumer(self._servers, []) as consumer:
            consumer.assign(list(starts))
            ends = consumer.end_offsets(list(starts))
            first = consumer.beginning_offsets(list(starts))
            for part, start in starts.items():
                consumer.seek(part, max(start, first[part]))
            while any(consumer.position(part) < end for part, end in ends.items()):
                for records in consumer.poll(timeout_ms=500).values():
                    yield from records

    def _connect(self) -> KafkaProducer:
        try:
            return KafkaProducer(
                bootstrap_servers=self._servers,
                acks="all",
                allow_auto_create_topics=False,
                max_request_size=LARGEST_RECORD + _FRAME_BYTES,
                max_block_ms=5_000,
                delivery_timeout_ms=25_000,
                request_timeout_ms=10_000,
            )
        except KafkaError as error:
            raise Unreachable(
                f"the Kafka broker at {self._servers} does not answer: {error}; check that it is up"
            ) from None
