"""The topics on a Kafka cluster: created where they are missing, checked where they exist."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    InvalidConfigurationError,
    KafkaError,
    PolicyViolationError,
    TopicAlreadyExistsError,
)

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.adapters.kafka.topic_checks import Finding, check_topic
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import (
    ALL,
    EVENTS,
    EXPOSURES,
    OUTCOMES,
    WINDOWS,
    TopicSpec,
    creation_config,
    topic_name,
)

_WAIT_SECONDS = 20.0
_log = logging.getLogger("everfresh.topics")


def ensure_topics(
    bootstrap_servers: str, settings: Settings, on_warning: Callable[[str], None] = _log.warning
) -> dict[str, int]:
    """Create what is missing of the topic table; return partitions by full topic name.

    What exists is kept as it is, with its own number of partitions. ``SettingsError``, with all
    that is wrong in one line, where existing topics cannot serve: see ``topic_checks``, and
    ``windows`` or ``outcomes`` with fewer partitions than ``events``, ``exposures`` with another
    number. ``on_warning`` gets a line for each setting that had better be another. ``Unreachable``
    where no broker answers.
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
            findings = _findings(admin, settings)
    except KafkaError as error:
        raise Unreachable(
            f"the topics could not be prepared at {bootstrap_servers}: {error}; check that the "
            "broker is up and that it lets this client create topics and read their settings"
        ) from None
    refused = [*_partition_mismatches(prefix, partitions)]
    refused += [each.line(bootstrap_servers) for each in findings if not each.serves]
    if refused:
        raise SettingsError(
            f"{'. '.join(refused)}. What was compacted away or deleted does not come back: choose "
            "another kafka.topic_prefix if something was"
        )
    for each in findings:
        on_warning(each.line(bootstrap_servers))
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
    replication = settings.kafka.replication
    configs = creation_config(spec, replication, settings.events.max_bytes)
    options = {
        "num_partitions": partitions,
        "replication_factor": replication,
        "configs": configs,
    }
    try:
        admin.create_topics({name: options})
    except TopicAlreadyExistsError:
        return  # Another process was faster.
    except (InvalidConfigurationError, PolicyViolationError) as error:
        wanted = ",".join(f"{setting}={value}" for setting, value in configs.items())
        raise SettingsError(
            f"the cluster does not let everfresh create topic {name} as it must be ({error}); "
            f"create it yourself with {partitions} partitions and {wanted}, or as near to that as "
            "the cluster allows"
        ) from None


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


def _findings(admin: KafkaAdminClient, settings: Settings) -> list[Finding]:
    """What is not as wanted of all topics."""
    names = [topic_name(settings.kafka.topic_prefix, spec) for spec in ALL]
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs = admin.describe_configs(resources, config_filter="all")["topic"]
    copies = {
        topic["name"]: min(len(part["replica_nodes"]) for part in topic["partitions"])
        for topic in admin.describe_topics(names)
    }
    return [
        finding
        for spec, name in zip(ALL, names, strict=True)
        for finding in check_topic(
            spec,
            {setting: about["value"] for setting, about in configs[name].items()},
            copies[name],
            settings,
        )
    ]


def _partition_mismatches(prefix: str, partitions: dict[str, int]) -> Iterator[str]:
    events = topic_name(prefix, EVENTS)
    for spec in (WINDOWS, OUTCOMES):
        if partitions[other := topic_name(prefix, spec)] < partitions[events]:
            yield (
                f"topic {other} has {partitions[other]} partitions and {events} has "
                f"{partitions[events]}; it needs at least as many: add partitions to {other} with "
                "kafka-topics.sh --alter, or choose another kafka.topic_prefix"
            )
    if partitions[exposures := topic_name(prefix, EXPOSURES)] != partitions[events]:
        yield (
            f"topic {exposures} has {partitions[exposures]} partitions and {events} has "
            f"{partitions[events]}; a user's feedback and exposures meet only where both have the "
            f"same number: delete {exposures}, which is then made anew, or choose another "
            "kafka.topic_prefix"
        )
