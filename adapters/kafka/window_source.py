"""``WindowSource`` on Kafka: the trainer reads its training windows here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition
from kafka.errors import OffsetOutOfRangeError

from everfresh.adapters.kafka.consumers import connect_consumer, reading
from everfresh.contracts.errors import ForeignRecord, LogMismatch, NewerRecord
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import WINDOWS, topic_name
from everfresh.contracts.window import SliceClosed, SliceRecord, decode_slice_record

_LOGGED = 20
_log = logging.getLogger("everfresh.windows")


class KafkaWindowSource:
    """Reads the ``windows`` topic; from the beginning, until :meth:`seek` is called.

    It uses no consumer group: positions are kept in the weights' manifests (law 5). Used by one
    thread.
    """

    def __init__(self, brokers: Brokers, topic_prefix: str) -> None:
        self._brokers = brokers
        self._topic = topic_name(topic_prefix, WINDOWS)
        self._foreign, self._last_foreign = 0, ""
        self._consumer = connect_consumer(brokers, [self._topic])
        self.seek({})

    def partitions(self) -> list[int]:
        """All partitions of the topic, ascending."""
        return sorted(part.partition for part in self._consumer.assignment())

    def seek(self, positions: Mapping[int, int]) -> None:
        """Continue at these offsets; partitions not named start at their beginning.

        ``LogMismatch`` where the topic lacks a partition that is named.
        """
        unknown = sorted(set(positions) - set(self.partitions()))
        if unknown:
            raise LogMismatch(
                f"{self._topic} has {len(self.partitions())} partitions and partition {unknown[0]} "
                "is to be read; the topic was made anew: name the cluster the weights were "
                "trained from, or start with an empty home"
            )
        for part in self._consumer.assignment():
            if part.partition in positions:
                self._consumer.seek(part, positions[part.partition])
            else:
                self._consumer.seek_to_beginning(part)

    def poll(self, timeout_ms: int) -> list[tuple[int, int, SliceRecord]]:
        """New ``(partition, offset, record)``, in order per partition; empty after the timeout.

        ``LogMismatch`` where the log does not hold a position any more, ``Unreachable`` where the
        broker refuses. What is no slice record is left out.
        """
        with reading(self._topic, self._brokers):
            try:
                batches = self._consumer.poll(timeout_ms=timeout_ms)
            except OffsetOutOfRangeError as error:
                raise LogMismatch(
                    f"{self._topic} does not hold the next offset to read ({error}); retention "
                    "removed it or the topic was made anew: start with an empty home, or restore "
                    "the topic"
                ) from None
        read = [
            (part.partition, message.offset, self._decode(part, message))
            for part, messages in batches.items()
            for message in messages
        ]
        return [(number, offset, record) for number, offset, record in read if record is not None]

    def left_out(self) -> tuple[int, str]:
        """See the port."""
        return self._foreign, self._last_foreign

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()

    def _decode(self, part: TopicPartition, message: Any) -> SliceRecord | None:
        try:
            return decode_slice_record(message.value)
        except NewerRecord as error:
            # Left out it would be a gap, or a window without an end. The assembler refuses it.
            return SliceClosed(error.format, part.partition, 0, 0, 0, 0, 0, 0, "")
        except ForeignRecord as error:
            self._foreign += 1
            self._last_foreign = (
                f"{part.topic} partition {part.partition} offset {message.offset} is no slice "
                f"record: {error}"
            )
            if self._foreign <= _LOGGED:
                _log.warning("%s; it is left out", self._last_foreign)
            return None
