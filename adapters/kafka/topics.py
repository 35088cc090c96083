"""The topics on a Kafka cluster: created where they are missing, checked where they exist."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    AuthorizationError,
    InvalidConfigurationError,
    InvalidReplicationFactorError,
    KafkaError,
    PolicyViolationError,
    TopicAlreadyExistsError,
)

from everfresh.adapters.kafka.admin import broker_words, connect_admin
from everfresh.adapters.kafka.rights import hidden_topics, missing_right, require_seen
from everfresh.adapters.kafka.topic_checks import Finding, MissingTopic, check_topic
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import (
    ALL,
    EVENTS,
    EXPERIMENTS,
    EXPOSURES,
    ITEMS,
    OUTCOMES,
    WINDOWS,
    topic_name,
)

_WAIT_SECONDS = 60.0
_log = logging.getLogger("everfresh.topics")


def ensure_topics(
    brokers: Brokers, settings: Settings, on_warning: Callable[[str], None] = _log.warning
) -> dict[str, int]:
    """Create what is missing of the topic table; return partitions by full topic name.

    With ``kafka.create_topics`` off, nothing is created, and what is missing is wrong too. What
    exists is kept as it is, with its own number of partitions. ``SettingsError``, with all
    that is wrong in one line, where existing topics cannot serve: see ``topic_checks``, and
    ``windows`` or ``outcomes`` with fewer partitions than ``events``, ``exposures`` with another
    number, ``experiments`` or ``items`` with more than one. ``on_warning`` gets a line for each
    setting that had better be another. ``Unreachable`` where no broker answers.
    """
    prefix, creates = settings.kafka.topic_prefix, settings.kafka.create_topics
    names = {topic_name(prefix, spec): spec for spec in ALL}
    try:
        with connect_admin(brokers) as admin:
            partitions = _present(admin, names)
            events = partitions.get(topic_name(prefix, EVENTS), settings.kafka.partitions)
            # The owner of an events partition has that number of the others too.
            missing = [
                MissingTopic(name, spec, spec.partitions or events)
                for name, spec in names.items()
                if name not in partitions
            ]
            if missing:
                _require_seen(admin, brokers, missing, creates=creates)
            if creates:
                for each in missing:
                    _create(admin, brokers, each, settings)
                partitions, missing = _await_topics(admin, list(names)), []
            findings = _findings(admin, brokers, settings, list(partitions))
    except KafkaError as error:
        raise Unreachable(
            f"the topics could not be prepared at {brokers}: {broker_words(error)}; check that the "
            "broker is up and that it lets this client create topics and read their settings"
        ) from None
    _require_serving(brokers, settings, partitions, missing, findings)
    for finding in findings:
        on_warning(finding.line(brokers))
    return partitions


def _require_serving(
    brokers: Brokers,
    settings: Settings,
    partitions: dict[str, int],
    missing: list[MissingTopic],
    findings: list[Finding],
) -> None:
    """``SettingsError`` with all that must be mended, if anything must."""
    refused = [each.line(brokers, settings) for each in missing]
    refused += _partition_mismatches(settings.kafka.topic_prefix, partitions)
    wrong = [each.line(brokers) for each in findings if not each.serves]
    if not (refused or wrong):
        return
    refused += wrong
    if not settings.kafka.create_topics:  # who makes the topics hears of everything at once
        refused += [each.line(brokers) for each in findings if each.serves]
    after = (
        " What was compacted away or deleted does not come back: choose another "
        "kafka.topic_prefix if something was"
    )
    raise SettingsError(f"{'. '.join(refused)}.{after if wrong else ''}")


def _present(admin: KafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    known = topic_partitions(admin)
    return {name: known[name] for name in names if name in known}


def _require_seen(
    admin: KafkaAdminClient, brokers: Brokers, missing: list[MissingTopic], *, creates: bool
) -> None:
    """``Unreachable`` where what seems to be missing may only be hidden from this client."""
    if hidden := hidden_topics(admin, [each.name for each in missing]):
        right = missing_right(brokers, f"Describe on topic {', '.join(hidden)}")
        more = (
            ". Where the topics are still to be made, it needs Create too; if somebody else makes "
            "them, set kafka.create_topics to false"
        )
        raise Unreachable(right + (more if creates else ""))


def topic_partitions(admin: KafkaAdminClient) -> dict[str, int]:
    """Partitions by topic name, of every topic that has a leader everywhere."""
    return {
        topic["name"]: len(topic["partitions"])
        for topic in admin.describe_topics()
        if not topic["error_code"]
        and topic["partitions"]
        and all(part["leader_id"] >= 0 for part in topic["partitions"])
    }


def end_offsets(brokers: Brokers, topic: str) -> dict[int, int]:
    """The end offset of every partition of ``topic``; empty where the topic does not exist."""
    try:
        with connect_admin(brokers) as admin:
            number = topic_partitions(admin).get(topic, 0)
            parts = [TopicPartition(topic, partition) for partition in range(number)]
            if not parts:
                require_seen(admin, brokers, topic)
                return {}
            ends = admin.list_partition_offsets(dict.fromkeys(parts, OffsetSpec.LATEST))
    except KafkaError as error:
        raise Unreachable(
            f"offsets could not be read from {brokers}: {error}; check that the broker is up"
        ) from None
    return {part.partition: ends[part].offset for part in parts}


def _create(
    admin: KafkaAdminClient, brokers: Brokers, missing: MissingTopic, settings: Settings
) -> None:
    configs = missing.config(settings)
    options = {
        "num_partitions": missing.partitions,
        "replication_factor": settings.kafka.replication,
        "configs": configs,
    }
    try:
        admin.create_topics({missing.name: options})
    except TopicAlreadyExistsError:
        return  # Another process was faster.
    except AuthorizationError:
        right = missing_right(brokers, f"Create on topic {missing.name}")
        raise Unreachable(
            f"{right}, or have the topics made by somebody else and set kafka.create_topics to "
            "false, which lists the commands"
        ) from None
    except InvalidReplicationFactorError as error:
        raise SettingsError(
            f"topic {missing.name} cannot have kafka.replication = {settings.kafka.replication} "
            f"copies at {brokers}: {broker_words(error)}; set kafka.replication to at most the "
            "number of brokers that run, or start the missing ones first"
        ) from None
    except (InvalidConfigurationError, PolicyViolationError) as error:
        wanted = ",".join(f"{setting}={value}" for setting, value in configs.items())
        raise SettingsError(
            f"the cluster does not let everfresh create topic {missing.name} as it must be "
            f"({broker_words(error)}); create it yourself with {missing.partitions} partitions and "
            f"{wanted}, or as near to that as the cluster allows"
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


def _findings(
    admin: KafkaAdminClient, brokers: Brokers, settings: Settings, names: list[str]
) -> list[Finding]:
    """What is not as wanted of these topics."""
    if not names:
        return []
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs = admin.describe_configs(resources, config_filter="all")["topic"]
    if unread := [name for name in names if not configs.get(name)]:  # kafka-python logs why
        right = f"DescribeConfigs on topic {', '.join(unread)}"
        raise Unreachable(missing_right(brokers, right))
    copies = {
        topic["name"]: min(len(part["replica_nodes"]) for part in topic["partitions"])
        for topic in admin.describe_topics(names)
    }
    return [
        finding
        for spec in ALL
        if (name := topic_name(settings.kafka.topic_prefix, spec)) in configs
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
        other = topic_name(prefix, spec)
        if partitions.keys() >= {other, events} and partitions[other] < partitions[events]:
            yield (
                f"topic {other} has {partitions[other]} partitions and {events} has "
                f"{partitions[events]}; it needs at least as many: add partitions to {other} with "
                "kafka-topics.sh --alter, or choose another kafka.topic_prefix"
            )
    named = ((EXPERIMENTS, "the definition"), (ITEMS, "the state of the catalogue"))
    for spec, what in named:
        one = topic_name(prefix, spec)
        if partitions.get(one, 1) != 1:
            yield (
                f"topic {one} has {partitions[one]} partitions; it has 1, since a record's offset "
                f"alone names {what}: delete {one} and start again, which makes it anew or says "
                "how, or choose another kafka.topic_prefix"
            )
    exposures = topic_name(prefix, EXPOSURES)
    together = partitions.keys() >= {exposures, events}
    if together and partitions[exposures] != partitions[events]:
        yield (
            f"topic {exposures} has {partitions[exposures]} partitions and {events} has "
            f"{partitions[events]}; a user's feedback and exposures meet only where both have the "
            f"same number: delete {exposures} and start again, which makes it anew or says how, or "
            "choose another kafka.topic_prefix"
        )
