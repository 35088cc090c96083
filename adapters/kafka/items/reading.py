"""``ItemSource`` on Kafka: the topic ``items`` from its beginning, record by record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

from everfresh.adapters.kafka.consumers import Closing, connect_consumer, read_until, reading
from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.items.record import ItemChange, decode_change
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import ITEMS, topic_name

_WAIT_MS = 5_000


class KafkaItemSource(Closing):
    """See the port. The constructor raises ``Unreachable`` where broker or topic are missing.

    With ``begin``, it goes on from that offset, or from the beginning of a topic that ends before.
    """

    def __init__(self, brokers: Brokers, topic_prefix: str, begin: int = 0) -> None:
        self._brokers = brokers
        self._topic = topic_name(topic_prefix, ITEMS)
        self._consumer = connect_consumer(brokers, [self._topic], wait_ms=_WAIT_MS)
        self.end = self._seek(begin)
        self.goal = 0
        self.skipped = 0
        self._last_skipped = ""

    def _seek(self, begin: int) -> int:
        """Where it stands then. Compaction leaves holes, but no offset before the end is wrong."""
        try:
            with reading(self._topic, self._brokers):
                parts = self._consumer.assignment()
                if begin and begin <= max(self._consumer.end_offsets(parts).values()):
                    for part in parts:
                        self._consumer.seek(part, begin)
                    return begin
                self._consumer.seek_to_beginning()
        except BaseException:
            self._consumer.close()
            raise
        return 0

    def read_to_end(self, before_ms: int | None = None) -> Iterator[list[ItemChange]]:
        """See the port; ``Unreachable`` where the broker goes away meanwhile."""
        with reading(self._topic, self._brokers):
            ends = self._consumer.end_offsets(self._consumer.assignment())
            self.goal = max(ends.values())
            for part, messages in read_until(self._consumer, ends):
                early = messages
                if before_ms is not None:
                    early = list(takewhile(lambda each: each.timestamp < before_ms, messages))
                yield self._changes(early)
                if len(early) < len(messages):
                    self._consumer.seek(part, messages[len(early)].offset)
                    return
        # Kafka may have removed the newest records, and offsets go on after them.
        self.end = max(self.end, self.goal)

    def poll(self, timeout_ms: int) -> list[ItemChange]:
        """See the port; ``Unreachable`` as above."""
        with reading(self._topic, self._brokers):
            batches = self._consumer.poll(timeout_ms=timeout_ms)
        return [change for messages in batches.values() for change in self._changes(messages)]

    def left_out(self) -> str:
        """See the port."""
        if not self.skipped:
            return ""
        return (
            f"left out: {self.skipped:,} records that are no items, the last at "
            f"{self._last_skipped}; write it again, or remove it: a new replica does not know it"
        )

    def close(self) -> None:
        """See the port."""
        self._consumer.close()

    def _changes(self, messages: Iterable[Any]) -> list[ItemChange]:
        changes = []
        for message in messages:
            self.end = message.offset + 1
            try:
                changes.append(
                    decode_change(message.key, message.value, message.timestamp, message.offset)
                )
            except ForeignRecord as error:
                self.skipped += 1
                self._last_skipped = f"{self._topic} offset {message.offset}: {error}"
        return changes
