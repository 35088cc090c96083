"""What a client may do by the cluster's ACLs: the missing right, in one sentence.

Kafka hides a topic from those who may not see it, so that it looks as if it were not there. What
may not be written fails after it was queued. So each part asks for its rights as it starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient
from kafka.errors import AuthorizationError, KafkaError

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import PLAINTEXT, Brokers, KafkaSecurity
from everfresh.contracts.topics import (
    CLOCK,
    DEAD_LETTERS,
    EVENTS,
    EXPERIMENTS,
    EXPOSURES,
    ITEMS,
    OUTCOMES,
    REPORTS,
    STATUS,
    WINDOWS,
    TopicSpec,
    topic_name,
    worker_group,
)

if TYPE_CHECKING:  # the producer client, which names a missing right too, has no pydantic
    from everfresh.contracts.settings import Settings

_TOPIC_AUTHORIZATION_FAILED = 29

WORKER: dict[str, Sequence[TopicSpec]] = {
    "Read": (EVENTS, EXPOSURES),
    "Write": (WINDOWS, DEAD_LETTERS, OUTCOMES, CLOCK, STATUS),
}
FORWARDING_WORKER = {**WORKER, "Write": (*WORKER["Write"], EVENTS)}
FOLLOWER: dict[str, Sequence[TopicSpec]] = {"Read": (EVENTS,), "Write": (STATUS,)}
TRAINER: dict[str, Sequence[TopicSpec]] = {"Read": (WINDOWS, ITEMS), "Write": (REPORTS, STATUS)}
REPLICA: dict[str, Sequence[TopicSpec]] = {
    "Read": (EXPERIMENTS, ITEMS),
    "Write": (EXPOSURES, STATUS),
}

GUARD: dict[str, Sequence[TopicSpec]] = {
    "Read": (EXPERIMENTS, OUTCOMES),
    "Write": (EXPERIMENTS, STATUS),
}


def require_rights(part: Mapping[str, Sequence[TopicSpec]], settings: Settings) -> None:
    """``Unreachable`` with all rights to topics in one line that the part needs and has not.

    A topic that is missing is not this function's to tell.
    """
    prefix = settings.kafka.topic_prefix
    wanted = {right: [topic_name(prefix, spec) for spec in specs] for right, specs in part.items()}
    require_topic_rights(wanted, settings)


def require_topic_rights(wanted: Mapping[str, Sequence[str]], settings: Settings) -> None:
    """The same for topics by their full names."""
    brokers = settings.kafka.brokers
    try:
        with connect_admin(brokers) as admin:
            names = {name for each in wanted.values() for name in each}
            topics = admin.describe_topics(sorted(names))
    except KafkaError as error:
        raise Unreachable(f"{brokers} does not say what its topics are: {error}") from None
    about = {topic["name"]: topic for topic in topics}
    lacking = [
        f"{right} on topic {name}"
        for right, names in wanted.items()
        for name in names
        if not _allowed(about[name], right)
    ]
    if lacking:
        raise Unreachable(missing_right(brokers, ", and to ".join(lacking)))


def require_group(settings: Settings) -> None:
    """``Unreachable`` where this client may not read as a member of the workers' group: Faust waits
    for its partitions without a word then. Asked of secured clusters alone, since others rarely
    have ACLs."""
    brokers, group = settings.kafka.brokers, worker_group(settings.kafka.topic_prefix)
    if brokers.security.protocol == PLAINTEXT:
        return
    try:
        with connect_admin(brokers) as admin:
            admin.list_group_offsets({group: None})
    except AuthorizationError:
        raise Unreachable(missing_right(brokers, f"Read on group {group}")) from None
    except KafkaError:
        return  # a group that is new, or whose coordinator is still to be found


def _allowed(topic: Mapping[str, Any], right: str) -> bool:
    if topic["error_code"]:
        return bool(topic["error_code"] != _TOPIC_AUTHORIZATION_FAILED)
    # The names of what this client may do; absent where the broker is too old to know.
    operations = topic.get("authorized_operations")
    return operations is None or right.upper() in operations


def require_seen(admin: KafkaAdminClient, brokers: Brokers, topic: str) -> None:
    """``Unreachable`` where this client may not see the topic, whether it is there or not."""
    if hidden_topics(admin, [topic]):
        raise Unreachable(missing_right(brokers, f"Describe on topic {topic}"))


def hidden_topics(admin: KafkaAdminClient, topics: list[str]) -> list[str]:
    """Those of the topics that this client may not see, whether they are there or not."""
    hidden = {
        topic["name"]
        for topic in admin.describe_topics(topics)
        if topic["error_code"] == _TOPIC_AUTHORIZATION_FAILED
    }
    return [name for name in topics if name in hidden]


def client_name(security: KafkaSecurity) -> str:
    """Whom the ACLs must name, as far as it is known here."""
    if security.has_login:
        return f"user {security.username!r}"
    if security.certificate_file:
        return f"the client of {security.certificate_file}"
    return "this client"


def missing_right(brokers: Brokers, rights: str) -> str:
    """The sentence for rights such as ``Write on topic t.events``."""
    return (
        f"{client_name(brokers.security)} has no right at {brokers} to {rights}; add an ACL that "
        "allows it (docs/kafka.md lists what each part needs)"
    )
