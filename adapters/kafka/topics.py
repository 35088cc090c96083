"""The topics on a Kafka cluster: created where they are missing, checked where they exist."""

from __future__ import annotations

import time

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError, TopicAlreadyExistsError

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import (
    ALL,
    CLOCK,
    EVENTS,
    EXPOSURES,
    OUTCOMES,
    WINDOWS,
    TopicSpec,
    topic_name,
)

_WAIT_SECONDS = 20.0


def ensure_topics(bootstrap_servers: str, settings: Settings) -> dict[str, int]:
    """Create what is missing of the topic table; return partitions by full topic name.

    What exists is kept as it is, with its own number of partitions. ``SettingsError`` where an
    existing topic cannot serve: ``events``, ``exposures`` or ``clock`` without broker append time,
    by which windows are cut (law 3) and the join's horizon is measured; ``windows`` or ``outcomes``
    with fewer partitions than ``events``, ``exposures`` with another number. ``Unreachable`` where
    no broker answers.
    """
    prefix = settings.kafka.topic_prefix
    try:
        with connect_admin(bootstrap_servers) as admin:
            existing = topic_partitions(admin)
            events = existing.get(topic_name(prefix, EVENTS), settings.kafka.partitions)
            for spec in ALL:
                if topic_name(prefix, spec) not in existing:
                    # The owner of an events partition has that number of the others too.
                    _create(admin, spec, spec.partitions or events, settings)
            partitions = _await_topics(admin, [topic_name(prefix, spec) for spec in ALL])
            for spec in (EVENTS, EXPOSURES, CLOCK):
                _require_append_time(admin, topic_name(prefix, spec))
    except KafkaError as error:
        raise Unreachable(
            f"the topics could not be prepared at {bootstrap_servers}: {error}; check that the "
            "broker is up and that it lets this client create topics"
        ) from None
    for spec in (WINDOWS, OUTCOMES):
        _require_at_least(partitions, topic_name(prefix, EVENTS), topic_name(prefix, spec))
    _require_equal(partitions, topic_name(prefix, EVENTS), topic_name(prefix, EXPOSURES))
    return partitions


def topic_partitions(admin: KafkaAdminClient) -> dict[str, int]:
    """Partitions by topic name, of every topic that has a leader everywhere."""
    return {
        topic["name"]: len(topic["partitions"])
        for topic in admin.describe_topics()
        if not topic["error_code"]
        and topic["partitions"]
        and all(part["leader_id"] >= 0 for part in topic["partitions"])
    }


def end_offsets(bootstrap_servers: str, topic: str) -> dict[int, int]:
    """The end offset of every partition of ``topic``; empty where the topic does not exist."""
    try:
        with connect_admin(bootstrap_servers) as admin:
            number = topic_partitions(admin).get(topic, 0)
            parts = [TopicPartition(topic, partition) for partition in range(number)]
            if not parts:
                return {}
            ends = admin.list_partition_offsets(dict.fromkeys(parts, OffsetSpec.LATEST))
    except KafkaError as error:
        raise Unreachable(
            f"offsets could not be read from {bootstrap_servers}: {error}; check that the broker "
            "is up"
        ) from None
    return {part.partition: ends[part].offset for part in parts}


def _create(admin: KafkaAdminClient, spec: TopicSpec, partitions: int, settings: Settings) -> None:
    name = topic_name(settings.kafka.topic_prefix, spec)
    options = {
        "num_partitions": partitions,
        "replication_factor": settings.kafka.replication,
        "configs": spec.config,
    }
    try:
        admin.create_topics({name: options})
    except TopicAlreadyExistsError:
        return  # Another process was faster.


def _await_topics(admin: KafkaAdminClient, names: list[str]) -> dict[str, int]:
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        known = topic_partitions(admin)
        missing = [name for name in names if name not in known]
        if not missing:
            return {name: known[name] for name in names}
        if time.monotonic() > until:
            raise Unreachable(
                f"topic {missing[0]} has no leader for each partition after "
                f"{_WAIT_SECONDS:.0f} s; check the brokers, and that kafka.replication is not "
                "more than their number"
            )
        time.sleep(0.05)


def _require_append_time(admin: KafkaAdminClient, topic: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    configs = admin.describe_configs([resource], config_filter="all")
    timestamp_type = configs["topic"][topic]["message.timestamp.type"]["value"]
    if timestamp_type != "LogAppendTime":
        raise SettingsError(
            f"topic {topic} has message.timestamp.type={timestamp_type}, and windows are cut and "
            "feedback is joined by broker append time; alter it with kafka-configs.sh --alter "
            f"--entity-type topics --entity-name {topic} --add-config "
            "message.timestamp.type=LogAppendTime before anything is written, or choose "
            "another kafka.topic_prefix"
        )


def _require_at_least(partitions: dict[str, int], events: str, other: str) -> None:
    if partitions[other] < partitions[events]:
        raise SettingsError(
            f"topic {other} has {partitions[other]} partitions and {events} has "
            f"{partitions[events]}; it needs at least as many: add partitions to {other} with "
            "kafka-topics.sh --alter, or choose another kafka.topic_prefix"
        )


def _require_equal(partitions: dict[str, int], events: str, exposures: str) -> None:
    if partitions[exposures] != partitions[events]:
        raise SettingsError(
            f"topic {exposures} has {partitions[exposures]} partitions and {events} has "
            f"{partitions[events]}; a user's feedback and exposures meet only where both have the "
            f"same number: delete {exposures}, which is then made anew, or choose another "
            "kafka.topic_prefix"
        )
