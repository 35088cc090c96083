"""The topic table: every topic everfresh uses, who writes it, and how it is kept."""

from __future__ import annotations

import msgspec


class TopicSpec(msgspec.Struct, frozen=True):
    """``partitions`` 0 means as many as the setting ``kafka.partitions``."""

    name: str
    partitions: int
    config: dict[str, str]
    about: str


_DELETE = {"cleanup.policy": "delete"}

EVENTS = TopicSpec(
    "events",
    0,
    # Append time is monotonic per partition, which is what window labels are cut by (law 3).
    {**_DELETE, "message.timestamp.type": "LogAppendTime"},
    "Events, keyed by user id: written by producers, read by the stream worker.",
)
DEAD_LETTERS = TopicSpec(
    "dead-letters",
    1,
    # Room for the largest event that a broker takes, with the reason beside it.
    {**_DELETE, "max.message.bytes": "8388608"},
    "Events that were not accepted, with reason and original bytes: written by the stream worker, "
    "read by operators.",
)
REDRIVES = TopicSpec(
    "redrives",
    1,
    # Kept for as long as dead letters are: one that has expired cannot be sent again.
    _DELETE,
    "Which dead letters were sent again: written and read by `everfresh dlq redrive`.",
)
WINDOWS = TopicSpec(
    "windows",
    0,
    {**_DELETE, "max.message.bytes": "8388608"},
    "Slices of training windows: written by the stream worker, read by the trainer.",
)
EXPOSURES = TopicSpec(
    "exposures",
    0,
    # As many partitions as events and the same partitioner, so that a user's exposures and feedback
    # meet in one worker; append time, because the join's horizon is measured in it.
    {**_DELETE, "message.timestamp.type": "LogAppendTime"},
    "Answers, keyed by user id: written by replicas, read by the stream worker.",
)
OUTCOMES = TopicSpec(
    "outcomes",
    0,
    {**_DELETE, "max.message.bytes": "8388608"},
    "Exposures with their feedback, keyed by outcome id: written by the stream worker, read by "
    "experimenters.",
)
REPORTS = TopicSpec(
    "reports",
    1,
    _DELETE,
    "One report per window: written by the trainer, read by operators.",
)
STATUS = TopicSpec(
    "status",
    1,
    {"cleanup.policy": "compact"},
    "The last status of each component, keyed by it: read by operators.",
)
CLOCK = TopicSpec(
    "clock",
    1,
    {**_DELETE, "message.timestamp.type": "LogAppendTime", "retention.ms": "3600000"},
    "Empty records, whose append times tell the workers what time it is at the broker: written and "
    "read by them.",
)

ALL = (EVENTS, DEAD_LETTERS, REDRIVES, WINDOWS, EXPOSURES, OUTCOMES, REPORTS, STATUS, CLOCK)


def topic_name(prefix: str, spec: TopicSpec) -> str:
    """The name on the cluster: the prefix of the settings followed by the table's name."""
    return prefix + spec.name


def worker_group(prefix: str) -> str:
    """The workers' consumer group. Its offsets say how far the events topic has been applied."""
    return f"{prefix}stream"
