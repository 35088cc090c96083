"""The identity of a log: a topic recreated under the same name is another log."""

from __future__ import annotations

import msgspec

from everfresh.contracts.errors import LogMismatch


class LogIdentity(msgspec.Struct, frozen=True):
    """Which log this is: a topic recreated under the same name has another ``topic_id``."""

    cluster: str
    topic: str
    topic_id: str
    partitions: int


class LogPlace(msgspec.Struct, frozen=True):
    """One partition of one topic as it is now: which log, the offsets it holds, and how many
    ``partitions`` the topic has."""

    cluster: str
    topic: str
    topic_id: str
    partition: int
    start: int
    end: int
    partitions: int


def require_same(expected: LogIdentity, now: LogIdentity) -> None:
    """``LogMismatch`` where the topic is not the one that a worker has begun with."""
    if (now.cluster, now.topic_id) != (expected.cluster, expected.topic_id):
        raise LogMismatch(
            f"{expected.topic} was recreated while the worker ran: topic id {expected.topic_id} in "
            f"cluster {expected.cluster} expected, found {now.topic_id} in {now.cluster}; use "
            "another home, or delete the state directory to begin with the new topic"
        )
    require_partitions(expected.topic, expected.partitions, now.partitions)


def require_partitions(topic: str, expected: int, now: int) -> None:
    """``LogMismatch`` where users have moved between partitions (law 1)."""
    if now != expected:
        raise LogMismatch(
            f"{topic} has {now} partitions, its state was folded from {expected}: users move to "
            "other partitions, and each one's sequence would be torn in two. Create a topic with "
            f"{now} partitions under another kafka.topic_prefix, write the log there anew keyed "
            "by user, and use another home; or delete the state directory, and users who moved "
            "begin with an empty sequence"
        )
