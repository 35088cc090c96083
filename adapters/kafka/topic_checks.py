"""What an existing topic must be like, and what it had better be like. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from everfresh.contracts.kafka.security import PLAINTEXT, Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import (
    APPEND_TIME,
    CLEANUP,
    DEAD_LETTERS,
    DELETE_RETENTION,
    EVENTS,
    EXPERIMENTS,
    EXPOSURES,
    IN_SYNC,
    ITEMS,
    LONGEST,
    OUTCOMES,
    RETENTION_BYTES,
    RETENTION_MS,
    STATUS,
    TIME,
    UNCLEAN,
    WINDOWS,
    TopicSpec,
    creation_config,
    topic_name,
)

_SOURCES = (EVENTS, EXPOSURES, WINDOWS)
"""Topics whose readers go on where they stood, which may be hours ago."""
_LEAST_KEPT_MS = 3_600_000


class Finding(msgspec.Struct, frozen=True):
    """A setting of a topic that is not as wanted; ``serves`` says whether the topic can be used."""

    topic: str
    setting: str
    found: str
    wanted: str
    why: str
    serves: bool

    def line(self, brokers: Brokers) -> str:
        """What is wrong, why that matters, and the command that mends it."""
        return (
            f"topic {self.topic} has {self.setting}={self.found}, wanted {self.wanted}: "
            f"{self.why}; kafka-configs.sh {_connection(brokers)} --alter "
            f"--entity-type topics --entity-name {self.topic} "
            f"--add-config {self.setting}={self.wanted}"
        )


class MissingTopic(msgspec.Struct, frozen=True):
    """A topic that is not there, and the partitions that it should have."""

    name: str
    spec: TopicSpec
    partitions: int

    def config(self, settings: Settings) -> dict[str, str]:
        """What is set on it when it is made."""
        return creation_config(self.spec, settings.kafka.replication, settings.events.max_bytes)

    def line(self, brokers: Brokers, settings: Settings) -> str:
        """What is missing, and the command that makes it."""
        configs = " ".join(f"--config {n}={value}" for n, value in self.config(settings).items())
        return (
            f"topic {self.name} is missing, and kafka.create_topics is off; kafka-topics.sh "
            f"{_connection(brokers)} --create --topic {self.name} --partitions {self.partitions} "
            f"--replication-factor {settings.kafka.replication} {configs}"
        )


def _connection(brokers: Brokers) -> str:
    """The options with which Kafka's commands reach the cluster."""
    secured = brokers.security.protocol != PLAINTEXT
    file = " --command-config admin.properties" if secured else ""
    return f"--bootstrap-server {brokers}{file}"


def check_topic(
    spec: TopicSpec, config: Mapping[str, str | None], replicas: int, settings: Settings
) -> list[Finding]:
    """What is not as wanted of one topic; ``replicas`` is the least number of copies it has."""
    checks = _Checks(topic_name(settings.kafka.topic_prefix, spec), config)
    checks.cleanup(spec)
    if spec.append_time and config.get(TIME) != APPEND_TIME:
        why = f"the broker's append time must be the records' time, since {spec.append_time}"
        checks.note(TIME, APPEND_TIME, why, serves=False)
    checks.copies(replicas)
    checks.length(spec, settings)
    if spec in (*_SOURCES, DEAD_LETTERS):
        checks.retention(spec, settings)
    return checks.findings


class _Checks:
    """The checks of one topic, each adding what it finds."""

    def __init__(self, topic: str, config: Mapping[str, str | None]) -> None:
        self._topic = topic
        self._config = config
        self.findings: list[Finding] = []

    def note(self, setting: str, wanted: str, why: str, *, serves: bool) -> None:
        found = str(self._config.get(setting))
        self.findings.append(Finding(self._topic, setting, found, wanted, why, serves))

    def cleanup(self, spec: TopicSpec) -> None:
        policy = {word.strip() for word in (self._config.get(CLEANUP) or "").split(",")}
        if spec is STATUS and "compact" not in policy:
            self.note(CLEANUP, "compact", "views read all of it, and it only grows", serves=True)
        if spec is EXPERIMENTS and policy != {"compact"}:
            why = "definitions of experiments that still run would be deleted when they are old"
            self.note(CLEANUP, "compact", why, serves=False)
        if spec is ITEMS:
            self.catalogue(policy)
        if spec not in (STATUS, EXPERIMENTS, ITEMS) and policy != {"delete"}:
            why = "compaction keeps one record of each key and loses all others"
            self.note(CLEANUP, "delete", why, serves=False)

    def catalogue(self, policy: set[str]) -> None:
        if policy != {"compact"}:
            why = "items that nobody has changed for long would be deleted"
            self.note(CLEANUP, "compact", why, serves=False)
        wanted = ITEMS.config[DELETE_RETENTION]
        if self._number(DELETE_RETENTION, 86_400_000) < int(wanted):
            why = (
                "a replica that starts later does not learn that an item was removed, and shows it "
                "again if the model knows it"
            )
            self.note(DELETE_RETENTION, wanted, why, serves=True)

    def copies(self, replicas: int) -> None:
        if self._number(IN_SYNC, 1) > replicas:
            why = f"with {replicas} copies, no write to it is ever acknowledged"
            self.note(IN_SYNC, str(max(1, replicas - 1)), why, serves=False)
        if self._config.get(UNCLEAN) == "true":
            why = "a broker that missed records may become the leader, and they are lost"
            self.note(UNCLEAN, "false", why, serves=True)

    def length(self, spec: TopicSpec, settings: Settings) -> None:
        longest = self._number(LONGEST, 0)
        wanted = creation_config(spec, 1, settings.events.max_bytes)[LONGEST]
        if spec is EVENTS and longest < settings.events.max_bytes:
            why = f"events of events.max_bytes ({settings.events.max_bytes}) are refused otherwise"
            self.note(LONGEST, wanted, why, serves=True)
        if spec in (WINDOWS, OUTCOMES, DEAD_LETTERS) and longest < int(wanted):
            why = "a longer record that the worker writes would be refused, and hold up all others"
            self.note(LONGEST, wanted, why, serves=False)

    def retention(self, spec: TopicSpec, settings: Settings) -> None:
        if self._number(RETENTION_BYTES, -1) >= 0:
            why = "what is deleted by size may be deleted before it is read"
            self.note(RETENTION_BYTES, "-1", why, serves=True)
        waits_ms = 4_000 * max(settings.windows.seconds, settings.joins.horizon_s)
        least, kept = max(_LEAST_KEPT_MS, int(waits_ms)), self._number(RETENTION_MS, -1)
        if 0 <= kept < least:
            why = f"what is kept for less than {least} ms may be deleted before it is read"
            wanted = str(max(least, int(spec.config[RETENTION_MS])))
            self.note(RETENTION_MS, wanted, why, serves=True)

    def _number(self, setting: str, default: int) -> int:
        """``default`` where the cluster does not name the setting."""
        return int(self._config.get(setting) or default)
