"""Reads the topic ``outcomes`` from given offsets to where it ends now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from kafka import TopicPartition

from everfresh.adapters.kafka.consumers import Closing, connect_consumer, read_until, reading
from everfresh.contracts.errors import ForeignRecord, LogMismatch
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.outcome import Outcome, decode_outcome
from everfresh.contracts.topics import OUTCOMES, topic_name


class OutcomeBatch(msgspec.Struct):
    """Some outcomes of one partition, in order, and ``end``, the offset after them.

    ``missed`` records before them were removed by retention unread. ``foreign`` names the records
    among them that are no outcomes.
    """

    partition: int
    end: int
    outcomes: list[Outcome]
    missed: int = 0
    foreign: list[str] = []


class KafkaOutcomeSource(Closing):
    """Used by one thread; a context manager. It uses no consumer group: the caller keeps offsets
    with what it made of the outcomes (law 2)."""

    def __init__(self, brokers: Brokers, topic_prefix: str) -> None:
        self._brokers = brokers
        self.topic = topic_name(topic_prefix, OUTCOMES)
        self._consumer = connect_consumer(brokers, [self.topic])

    def read(self, offsets: Mapping[int, int]) -> Iterator[OutcomeBatch]:
        """From ``offsets`` on (a partition that is not named, from its beginning), up to what was
        there at the call. ``LogMismatch`` where the topic ends before them."""
        with reading(self.topic, self._brokers):
            parts = self._consumer.assignment()
            begins = self._consumer.beginning_offsets(parts)
            ends = self._consumer.end_offsets(parts)
            positions = {part.partition: begins[part] for part in parts} | dict(offsets)
            self._check(offsets, {part.partition: end for part, end in ends.items()})
            for part in parts:
                missed = begins[part] - positions[part.partition]
                if missed > 0:
                    yield OutcomeBatch(part.partition, begins[part], [], missed)
                self._consumer.seek(part, max(begins[part], positions[part.partition]))
            for part, records in read_until(self._consumer, ends):
                if records:
                    yield self._batch(part, records)

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()

    def _check(self, offsets: Mapping[int, int], ends: Mapping[int, int]) -> None:
        for partition, offset in offsets.items():
            if offset > ends.get(partition, -1):
                raise LogMismatch(
                    f"partition {partition} of {self.topic} was counted up to {offset}, and it "
                    f"ends at {ends.get(partition, 'nothing')}: the topic was made anew, or this "
                    "is another cluster"
                )

    def _batch(self, part: TopicPartition, records: list[Any]) -> OutcomeBatch:
        batch = OutcomeBatch(part.partition, records[-1].offset + 1, [])
        for record in records:
            try:
                outcome = decode_outcome(record.value)
                if record.key != outcome.id.encode():
                    raise ForeignRecord("its key is not its id")
                batch.outcomes.append(outcome)
            except ForeignRecord as error:
                place = f"partition {part.partition} offset {record.offset}"
                batch.foreign.append(f"{part.topic} {place}: {error}")
        return batch
