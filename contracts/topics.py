"""The topic table: every topic everfresh uses, who writes it, and how it is kept.

What correctness depends on is set on each topic that we create: whatever a cluster has as its
defaults, nothing is compacted away, cut by size, refused for its length or for a wrong clock.
"""

from __future__ import annotations

import msgspec

CLEANUP = "cleanup.policy"
COMPRESSION = "compression.type"
DELETE_RETENTION = "delete.retention.ms"
IN_SYNC = "min.insync.replicas"
LONGEST = "max.message.bytes"
RETENTION_BYTES = "retention.bytes"
RETENTION_MS = "retention.ms"
TIME = "message.timestamp.type"
APPEND_TIME = "LogAppendTime"
UNCLEAN = "unclean.leader.election.enable"


class TopicSpec(msgspec.Struct, frozen=True):
    """``partitions`` 0 means as many as the setting ``kafka.partitions``.

    ``append_time`` says why the topic must have the broker's append times, empty where it need not.
    """

    name: str
    partitions: int
    config: dict[str, str]
    about: str
    append_time: str = ""


_DAY_MS = 86_400_000
_FRAME_BYTES = 65_536  # key, headers, and what a batch adds
_DELETE = {
    CLEANUP: "delete",
    COMPRESSION: "producer",
    # The broker's time, so that no writer's wrong clock has a record refused or deleted early.
    TIME: APPEND_TIME,
    RETENTION_MS: str(7 * _DAY_MS),
    RETENTION_BYTES: "-1",
    LONGEST: "1048588",
}
_COMPACT = {
    CLEANUP: "compact",
    COMPRESSION: "producer",
    TIME: APPEND_TIME,
    LONGEST: _DELETE[LONGEST],
}
_LONG = {**_DELETE, LONGEST: "8388608"}

EVENTS = TopicSpec(
    "events",
    0,
    _DELETE,
    "Events, keyed by user id: written by producers, read by the stream worker.",
    # Monotonic per partition, which is what window labels are cut by (law 3).
    append_time="windows are cut by it",
)
DEAD_LETTERS = TopicSpec(
    "dead-letters",
    1,
    # Room for the largest event that a broker takes, with the reason beside it.
    _LONG,
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
    _LONG,
    "Slices of training windows: written by the stream worker, read by the trainer.",
)
EXPOSURES = TopicSpec(
    "exposures",
    0,
    # As many partitions as events and the same partitioner, so that a user's exposures and feedback
    # meet in one worker.
    _DELETE,
    "Answers, keyed by user id: written by replicas, read by the stream worker.",
    append_time="the horizon of the join with feedback is measured in it",
)
OUTCOMES = TopicSpec(
    "outcomes",
    0,
    _LONG,
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
    _COMPACT,
    "The last status of each component, keyed by it: read by operators.",
)
EXPERIMENTS = TopicSpec(
    "experiments",
    # One, so that a record's offset alone names the definition.
    1,
    _COMPACT,
    "Definitions of experiments, keyed by name: written by `everfresh experiment`, read by "
    "replicas and experimenters.",
)
ITEMS = TopicSpec(
    "items",
    # One, so that an offset alone names a state of the catalogue.
    1,
    # A hundred years: a replica that starts later must learn of removed items, too.
    {**_COMPACT, DELETE_RETENTION: "3153600000000"},
    "What is known of each item, keyed by it: written by `everfresh items` and other producers, "
    "read by replicas and the trainer.",
)
CLOCK = TopicSpec(
    "clock",
    1,
    {**_DELETE, RETENTION_MS: "3600000"},
    "Empty records, whose append times tell the workers what time it is at the broker: written and "
    "read by them.",
    append_time="it tells the workers what time it is",
)

ALL = (
    EVENTS,
    DEAD_LETTERS,
    REDRIVES,
    WINDOWS,
    EXPOSURES,
    OUTCOMES,
    REPORTS,
    STATUS,
    EXPERIMENTS,
    ITEMS,
    CLOCK,
)

LONGEST_NAME = 249
"""Characters that Kafka allows a topic's name."""


def topic_name(prefix: str, spec: TopicSpec) -> str:
    """The name on the cluster: the prefix of the settings followed by the table's name."""
    return prefix + spec.name


def worker_group(prefix: str) -> str:
    """The workers' consumer group. Its offsets say how far the events topic has been applied."""
    return f"{prefix}stream"


def source_group(prefix: str, source: str) -> str:
    """The consumer group of a source's bridges; their transactional ids begin with it."""
    return f"{prefix}source.{source}"


def creation_config(spec: TopicSpec, replication: int, longest_event: int) -> dict[str, str]:
    """What is set on a new topic with that many copies; ``longest_event`` is in bytes.

    One of several copies may be away while the topic is written to.
    """
    longest = int(spec.config[LONGEST])
    if spec is EVENTS:
        longest = max(longest, longest_event + _FRAME_BYTES)
    return {**spec.config, LONGEST: str(longest), IN_SYNC: str(max(1, replication - 1))}
