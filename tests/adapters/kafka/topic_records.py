"""Reads a whole small topic, for tests that look at what was written."""

from __future__ import annotations

from everfresh.adapters.kafka.tail import ObservedRecord, RecordTail
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import TopicSpec


def read_topic(bootstrap_servers: str, topic_prefix: str, spec: TopicSpec) -> list[ObservedRecord]:
    """Every record of the topic, up to its end as it is now."""
    with RecordTail(Brokers(bootstrap_servers), topic_prefix, [spec]) as tail:
        return tail.read_to_end()
