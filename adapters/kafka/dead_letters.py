"""Reads the dead-letter topic, from its beginning or from a time, up to its end as it is now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from kafka import KafkaConsumer

from everfresh.adapters.kafka.consumers import connect_consumer, read_until, reading
from everfresh.contracts.dead_letter import DeadLetter, decode_dead_letter
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, EXPOSURES, topic_name


class Selection(msgspec.Struct, frozen=True):
    """A filter over dead letters; ``None`` stands for any.

    ``since_ms`` bounds when a letter was rejected. ``places`` are partitions and offsets in the
    dead-letter topic.
    """

    reason: str | None = None
    topic: str | None = None
    partition: int | None = None
    since_ms: int | None = None
    places: frozenset[tuple[int, int]] | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Whether the filter selects this letter. The reader applies ``since_ms``."""
        return (
            self.reason in (None, letter.reason)
            and self.topic in (None, letter.topic)
            and self.partition in (None, letter.partition)
            and (self.places is None or letter.place in self.places)
        )


class DeadLetterReader:
    """Reads dead letters one by one. One that was written again after a crash is returned once.

    ``sources`` are the topics of others from which letters come, besides our own.

    ``foreign`` counts records that are no dead letters of this deployment: nothing in them is
    believed, so none is listed or sent anywhere.
    """

    def __init__(self, brokers: Brokers, topic_prefix: str, sources: Iterable[str] = ()) -> None:
        self._brokers = brokers
        self._topic = topic_name(topic_prefix, DEAD_LETTERS)
        self._origins = {topic_name(topic_prefix, spec) for spec in (EVENTS, EXPOSURES)}
        self._origins.update(sources)
        self.foreign = 0

    def read(self, selection: Selection) -> Iterator[DeadLetter]:
        """The selected letters, in the order of their partition of the dead-letter topic.

        ``Unreachable`` where the broker does not answer or the topic is missing.
        """
        # By the record each names, not by the highest offset so far: one forged letter with a high
        # offset would hide all that come after it.
        seen: dict[str, set[tuple[int, int, int]]] = {topic: set() for topic in self._origins}
        for place, record in self._records(selection.since_ms):
            letter = decode_dead_letter(place, record.key, record.value, record.headers)
            if letter is None or letter.topic not in self._origins:
                self.foreign += 1
                continue
            origin = (letter.partition, letter.offset, letter.timestamp)
            if origin in seen[letter.topic]:
                continue
            seen[letter.topic].add(origin)
            if selection.matches(letter):
                yield letter

    def _records(self, since_ms: int | None) -> Iterator[tuple[tuple[int, int], Any]]:
        with (
            reading(self._topic, self._brokers),
            connect_consumer(self._brokers, [self._topic]) as consumer,
        ):
            ends = consumer.end_offsets(consumer.assignment())
            _seek(consumer, since_ms, ends)
            for part, records in read_until(consumer, ends):
                for record in records:
                    yield (part.partition, record.offset), record


def _seek(consumer: KafkaConsumer, since_ms: int | None, ends: dict[Any, int]) -> None:
    consumer.seek_to_beginning()
    if since_ms is None:
        return
    for part, first in consumer.offsets_for_times(dict.fromkeys(ends, since_ms)).items():
        consumer.seek(part, first.offset if first else ends[part])
