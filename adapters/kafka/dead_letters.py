"""Reads the dead-letter topic, from its beginning or from a time, up to its end as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.contracts.dead_letter import DeadLetter, decode_dead_letter
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.topics import DEAD_LETTERS, topic_name

_POLL_MS = 200
_MAX_EMPTY_POLLS = 100  # in a row, some 20 s; then the broker counts as gone


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

    ``foreign`` counts records that are not dead letters.
    """

    def __init__(self, bootstrap_servers: str, topic_prefix: str) -> None:
        self._servers = bootstrap_servers
        self._topic = topic_name(topic_prefix, DEAD_LETTERS)
        self.foreign = 0

    def read(self, selection: Selection) -> Iterator[DeadLetter]:
        """The selected letters, in the order of their partition of the dead-letter topic.

        ``Unreachable`` where the broker does not answer or the topic is missing.
        """
        # Letters of one partition come in its order, so what is not later than the last is a
        # repetition. Times come first: a topic that was recreated counts from 0 again.
        last: dict[tuple[int, str, int], tuple[int, int]] = {}
        for place, record in self._records(selection.since_ms):
            letter = decode_dead_letter(place, record.key, record.value, record.headers)
            if letter is None:
                self.foreign += 1
                continue
            origin = (place[0], letter.topic, letter.partition)
            reached = (letter.timestamp, letter.offset)
            if reached <= last.get(origin, (-1, -1)):
                continue
            last[origin] = reached
            if selection.matches(letter):
                yield letter

    def _records(self, since_ms: int | None) -> Iterator[tuple[tuple[int, int], Any]]:
        consumer = connect_consumer(self._servers, [self._topic])
        try:
            ends = consumer.end_offsets(consumer.assignment())
            _seek(consumer, since_ms, ends)
            empty_polls = 0
            while any(consumer.position(part) < end for part, end in ends.items()):
                batches = consumer.poll(timeout_ms=_POLL_MS)
                empty_polls = 0 if batches else empty_polls + 1
                if empty_polls > _MAX_EMPTY_POLLS:
                    raise Unreachable(
                        f"{self._topic} could not be read to its end; check the broker at "
                        f"{self._servers}"
                    )
                for part, records in batches.items():
                    for record in records:
                        if record.offset < ends[part]:
                            yield (part.partition, record.offset), record
        except KafkaError as error:
            raise Unreachable(
                f"{self._topic} cannot be read at {self._servers}: {error}; check that the broker "
                "is up"
            ) from None
        finally:
            consumer.close()


def _seek(consumer: KafkaConsumer, since_ms: int | None, ends: dict[Any, int]) -> None:
    consumer.seek_to_beginning()
    if since_ms is None:
        return
    for part, first in consumer.offsets_for_times(dict.fromkeys(ends, since_ms)).items():
        consumer.seek(part, first.offset if first else ends[part])
