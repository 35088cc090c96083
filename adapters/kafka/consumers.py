"""Kafka consumers without a group: partitions are assigned by hand, the caller keeps positions."""

from __future__ import annotations

import time
from collections.abc import Iterable

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from everfresh.adapters.kafka.admin import require_listener
from everfresh.contracts.errors import Unreachable

LARGEST_RECORD = 8_388_608
"""``max.message.bytes`` of the largest topic in the table (windows)."""
_METADATA_SECONDS = 5.0


def connect_consumer(bootstrap_servers: str, topics: Iterable[str]) -> KafkaConsumer:
    """A consumer assigned to all partitions of ``topics``, positions not set.

    A position outside the log raises, and is never moved in silence. ``Unreachable`` where no
    broker answers or a topic is missing.
    """
    require_listener(bootstrap_servers)
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=LARGEST_RECORD,
            fetch_max_wait_ms=100,
        )
    except KafkaError as error:
        raise Unreachable(
            f"the Kafka broker at {bootstrap_servers} does not answer: {error}; check that it is up"
        ) from None
    try:
        consumer.assign([part for topic in topics for part in _partitions(consumer, topic)])
    except BaseException:
        consumer.close()
        raise
    return consumer


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    until = time.monotonic() + _METADATA_SECONDS
    while True:
        try:
            numbers = consumer.partitions_for_topic(topic)
        except KafkaError:
            numbers = None
        if numbers:
            return [TopicPartition(topic, number) for number in sorted(numbers)]
        if time.monotonic() > until:
            raise Unreachable(
                f"topic {topic} does not exist on the cluster; start the loop with `everfresh up`, "
                "which creates it, or correct kafka.topic_prefix"
            )
        time.sleep(0.1)
