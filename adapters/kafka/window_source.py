"""``WindowSource`` on Kafka: the trainer reads its training windows here."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from kafka import TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.contracts.errors import LogMismatch, Unreachable, WindowGap
from everfresh.contracts.topics import WINDOWS, topic_name
from everfresh.contracts.window import SliceRecord, decode_slice_record


class KafkaWindowSource:
    """Reads the ``windows`` topic; from the beginning, until :meth:`seek` is called.

    It uses no consumer group: positions are kept in the weights' manifests (law 5). Used by one
    thread.
    """

    def __init__(self, bootstrap_servers: str, topic_prefix: str) -> None:
        self._servers = bootstrap_servers
        self._topic = topic_name(topic_prefix, WINDOWS)
        self._consumer = connect_consumer(bootstrap_servers, [self._topic])
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

        ``LogMismatch`` where the log does not hold a position any more, ``WindowGap`` for a record
        that is not a slice record, ``Unreachable`` where the broker refuses.
        """
        try:
            batches = self._consumer.poll(timeout_ms=timeout_ms)
        except OffsetOutOfRangeError as error:
            raise LogMismatch(
                f"{self._topic} does not hold the next offset to read ({error}); retention removed "
                "it or the topic was made anew: start with an empty home, or restore the topic"
            ) from None
        except KafkaError as error:
            raise Unreachable(f"{self._topic} cannot be read at {self._servers}: {error}") from None
        return [
            (part.partition, message.offset, _decode(part, message.offset, message.value))
            for part, messages in batches.items()
            for message in messages
        ]

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()


def _decode(part: TopicPartition, offset: int, value: bytes | None) -> SliceRecord:
    try:
        return decode_slice_record(value or b"")
    except msgspec.DecodeError as error:
        raise WindowGap(
            f"{part.topic} partition {part.partition} offset {offset} is no slice record: {error}; "
            "only the stream worker may write there"
        ) from None
