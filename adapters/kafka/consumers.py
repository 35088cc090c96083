"""Kafka consumers without a group: partitions are assigned by hand, the caller keeps positions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    KafkaError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
)

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.header_names import forgive_header_names
from everfresh.adapters.kafka.rights import client_name, require_seen
from everfresh.adapters.kafka.security.options import python_options
from everfresh.contracts.errors import MissingDependency, Unreachable
from everfresh.contracts.kafka.security import Brokers

LARGEST_RECORD = 8_388_608
"""``max.message.bytes`` of the largest topic in the table (windows)."""
_METADATA_SECONDS = 5.0
_POLL_MS = 200
_FETCH_WAIT_MS = 100
_MAX_EMPTY_POLLS = 100  # in a row, some 20 s; then the broker counts as gone


class Closing:
    """A context manager that ends with :meth:`close`."""

    def close(self) -> None:
        """End the connection."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect_consumer(
    brokers: Brokers, topics: Iterable[str], wait_ms: int = _FETCH_WAIT_MS
) -> KafkaConsumer:
    """A consumer assigned to all partitions of ``topics``, positions not set.

    A broker that has nothing new says so after ``wait_ms``; what is new comes at once.
    A position outside the log raises, and is never moved in silence. ``Unreachable`` where no
    broker answers or a topic is missing.
    """
    require_broker(brokers)
    forgive_header_names()
    try:
        consumer = KafkaConsumer(
            **python_options(brokers),
            enable_auto_commit=False,
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=LARGEST_RECORD,
            fetch_max_wait_ms=wait_ms,
        )
    except KafkaError as error:
        raise Unreachable(
            f"the Kafka broker at {brokers} does not answer: {error}; check that it is up"
        ) from None
    try:
        consumer.assign(
            [part for topic in topics for part in _partitions(consumer, brokers, topic)]
        )
    except BaseException:
        consumer.close()
        raise
    return consumer


@contextlib.contextmanager
def reading(what: str, brokers: Brokers) -> Iterator[None]:
    """Says in one line why ``what`` cannot be read.

    ``MissingDependency`` where a library is missing that decompresses its records, ``Unreachable``
    for all else.
    """
    try:
        yield
    except OffsetOutOfRangeError as error:
        raise Unreachable(
            f"{what} no longer holds what was to be read next ({error}): retention removed it "
            "meanwhile; try again"
        ) from None
    except UnsupportedCodecError as error:
        raise MissingDependency(
            f"{what} at {brokers} holds compressed records that cannot be read here: "
            f"{error}; install zstandard, lz4 and python-snappy, which the extras trainer and cli "
            "bring (pip install 'everfresh[trainer,cli]')"
        ) from None
    except AuthorizationError as error:
        raise Unreachable(
            f"{what} may not be read by {client_name(brokers.security)} at {brokers}: {error}; let "
            "it read the topic (Kafka's ACLs)"
        ) from None
    except CorruptRecordError as error:
        raise Unreachable(
            f"{what} holds a batch of records that is damaged ({error}); look for it with "
            "kafka-dump-log.sh, and restore the topic from another copy"
        ) from None
    except KafkaError as error:
        raise Unreachable(
            f"{what} cannot be read at {brokers}: {error}; check that the broker is up"
        ) from None


def read_until(
    consumer: KafkaConsumer, ends: Mapping[TopicPartition, int]
) -> Iterator[tuple[TopicPartition, list[Any]]]:
    """The records from where ``consumer`` stands to before ``ends``, in order per partition.

    What came along from beyond the ends is left out, and comes again to who goes on reading with
    the same consumer. ``Unreachable`` where nothing more comes before the ends.
    """
    empty_polls = 0
    while any(consumer.position(part) < end for part, end in ends.items()):
        batches = consumer.poll(timeout_ms=_POLL_MS)
        empty_polls = 0 if batches else empty_polls + 1
        if empty_polls > _MAX_EMPTY_POLLS:
            raise Unreachable(
                f"{', '.join(sorted({part.topic for part in ends}))} could not be read to the end; "
                "check that all brokers of the cluster are up"
            )
        for part, records in batches.items():
            yield part, [record for record in records if record.offset < ends[part]]
    for part, end in ends.items():
        if consumer.position(part) > end:
            consumer.seek(part, end)


def _partitions(consumer: KafkaConsumer, brokers: Brokers, topic: str) -> list[TopicPartition]:
    until, asked = time.monotonic() + _METADATA_SECONDS, False
    while True:
        try:
            numbers = consumer.partitions_for_topic(topic)
        except KafkaError:
            numbers = None
        if numbers:
            return [TopicPartition(topic, number) for number in sorted(numbers)]
        if not asked:  # or it is hidden, and waiting does not show it
            with connect_admin(brokers) as admin:
                require_seen(admin, brokers, topic)
            asked = True
        if time.monotonic() > until:
            raise Unreachable(
                f"topic {topic} does not exist on the cluster; start the loop with `everfresh up`, "
                "which creates it, or correct kafka.topic_prefix"
            )
        time.sleep(0.1)
