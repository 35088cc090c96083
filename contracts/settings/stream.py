"""Settings of the log and of the stream worker."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from everfresh.contracts import topics
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings.group import Group, Place
from everfresh.contracts.settings.security import SecuritySettings


class KafkaSettings(Group):
    """The Kafka cluster that all parts read from and write to."""

    bootstrap_servers: str = Field(
        "",
        description="Kafka brokers to join, as HOST:PORT, with commas between several. If they "
        "want TLS or a login, set kafka.security too. Leave it empty, and `everfresh up` starts a "
        "broker of its own on this machine.",
    )
    topic_prefix: str = Field(
        "everfresh.",
        description="Text put before every topic name. Change it if several loops share one Kafka "
        "cluster. Letters, digits, dots, underscores and dashes are allowed.",
    )

    @field_validator("topic_prefix")
    @classmethod
    def _legal(cls, prefix: str) -> str:
        if illegal := re.search("[^a-zA-Z0-9._-]", prefix):
            raise ValueError(
                "topics are named by letters from a to z, digits, '.', '_' and '-', found "
                f"{illegal[0]!r} in {prefix[:80]!r}"
            )
        longest = topics.LONGEST_NAME - max(len(spec.name) for spec in topics.ALL)
        if len(prefix) > longest:
            raise ValueError(f"at most {longest} characters were expected, found {len(prefix)}")
        return prefix

    partitions: int = Field(
        4,
        ge=1,
        le=4096,
        description="Number of partitions of the events topic; each is read by one worker at a "
        "time. Choose it before the first event, 4 to 8 per worker: it cannot be changed under an "
        "existing state.",
    )
    replication: int = Field(
        1,
        ge=1,
        description="Number of brokers that keep a copy of each topic that is created. Raise it "
        "(3 is usual) on a cluster of several brokers; the embedded broker can keep only 1.",
    )
    heap_mb: int = Field(
        384,
        ge=128,
        description="Largest Java heap of the embedded broker, in MiB. Raise it if the broker's "
        "log file reports that memory ran out.",
    )
    jars_url: str = Field(
        "https://repo1.maven.org/maven2",
        pattern=r"^https?://[^\s/]+",
        description="Maven repository from which the embedded broker is fetched, once. Name a "
        "mirror of Maven Central where this machine cannot reach it; every jar is checked "
        "against a pinned SHA-256, wherever it comes from.",
    )
    session_ms: int = Field(
        10_000,
        ge=1000,
        description="Milliseconds without a word from a worker after which its partitions go to "
        "another worker. Lower it for a faster takeover, raise it if busy workers lose "
        "partitions. The brokers' group.min.session.timeout.ms must allow the value.",
    )
    create_topics: bool = Field(
        True,
        description="Whether topics that are missing are created. Turn it off if somebody else "
        "makes the topics of your cluster: a start then says which are missing or set "
        "differently, with the commands that make and alter them.",
    )
    security: SecuritySettings = Field(default_factory=SecuritySettings)

    @property
    def brokers(self) -> Brokers:
        """The brokers with their security, as every client takes them."""
        return Brokers(self.bootstrap_servers, self.security.of_client)


class EventSettings(Group):
    """Which events are accepted from producers."""

    actions: list[str] = Field(
        ["view", "click", "like", "purchase", "rating", "skip"],
        min_length=1,
        max_length=255,
        description="Event types that are accepted; an event of any other type becomes a dead "
        "letter. Add new types at the end: stored events name their type by its place in this "
        "list.",
    )
    max_bytes: int = Field(
        65_536,
        ge=256,
        description="Longest event value in bytes; an event with a longer one becomes a dead "
        "letter. Raise it if your events carry large attributes.",
    )
    ahead_s: float = Field(
        3600.0,
        ge=0.0,
        description="Seconds by which an event's time may lie ahead of the broker's clock; an "
        "event further ahead becomes a dead letter. Raise it if your producers' clocks run that "
        "far ahead.",
    )
    remember_ids: int = Field(
        50_000,
        ge=0,
        description="Number of last accepted events per partition among which a repeated one "
        "(same user and id) is found. Up to twice as many are kept, at some 100 bytes of memory "
        "each. Raise it if producers may repeat an event later than that; 0 finds no duplicates.",
    )

    misplaced: Literal["dead_letter", "forward"] = Field(
        "dead_letter",
        description="What becomes of an event whose key belongs to another partition by Kafka's "
        "murmur2 partitioner: dead_letter keeps it for `everfresh dlq redrive`, forward has the "
        "worker write it to its right partition. It is counted as `misplaced` either way. "
        "Prefer to set the producer's partitioner: a forwarded event comes later.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if len(set(self.actions)) != len(self.actions):
            raise ValueError("events.actions names an action twice: name each action once")
        if self.misplaced == "forward" and not self.remember_ids:
            raise ValueError(
                "events.misplaced=forward may send an event twice after a crash, and "
                "events.remember_ids=0 would not notice: set events.remember_ids above 0"
            )
        return self


class StateSettings(Group):
    """Each user's state, which the stream worker keeps in RocksDB."""

    history_length: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Number of last events kept for each user. Raise it if the model is to read "
        "longer histories (model.max_length); disk space and the bytes written grow with it.",
    )
    block_cache_mb: int = Field(
        64,
        ge=1,
        description="Memory with which a worker's RocksDB caches what it reads, in MiB, for all "
        "of its partitions together. Raise it if the worker spends its time reading from disk.",
    )
    write_buffer_mb: int = Field(
        16,
        ge=1,
        description="RocksDB write buffer in MiB; each partition may hold two. Lower it if a "
        "worker has many partitions (to 4 at 32 partitions).",
    )
    outbox_mb: int = Field(
        64,
        ge=1,
        description="MiB of windows, outcomes and dead letters that may wait in a partition for "
        "delivery to Kafka. With more than that, the worker reads no further until Kafka has "
        "taken them. Raise it if one window of a partition is larger.",
    )
    snapshot_url: Place = Field(
        "",
        description="Where copies of the state are kept: a folder, or an fsspec URL such as "
        "s3://bucket/path; empty means <home>/snapshots. Name a place off this machine, or a lost "
        "disk takes the snapshots with it.",
    )
    snapshot_every_s: float = Field(
        300.0,
        ge=0.0,
        description="Seconds between two snapshots of a partition's state; 0 makes none. A "
        "shorter time leaves less of the log to read again after a disk is lost. A snapshot takes "
        "about 0.1 s of the worker's time per partition.",
    )
    snapshots_kept: int = Field(
        2,
        ge=1,
        description="Number of snapshots kept of each partition; older ones are deleted. Raise it "
        "to have more to fall back on if one is damaged.",
    )
    accept_truncated_log: bool = Field(
        False,
        description="Whether a worker may begin at the log's first record when Kafka's retention "
        "has deleted the log's beginning and no state or snapshot replaces it. If off, the worker "
        "stops and says so. Turn it on only if users may lose the deleted events.",
    )


class FollowerSettings(Group):
    """Users' state on a machine without a stream worker, for the replicas there."""

    enabled: bool = Field(
        False,
        description="Whether this machine follows: `everfresh up` starts a follower and replicas "
        "here instead of worker, trainer and replicas (as `everfresh up --follow` does), and "
        "replicas join once the state is here.",
    )
    partitions: list[Annotated[int, Field(ge=0)]] = Field(
        [],
        description="Numbers of the partitions of the events topic whose users' state is kept "
        "here; empty keeps all. Name some where one machine has no room for all users: its "
        "replicas then refuse users of other partitions, so send each user's requests to a "
        "machine that has them.",
    )


class WindowSettings(Group):
    """How the log is cut into training windows."""

    seconds: float = Field(
        2.0,
        ge=0.1,
        le=86_400,
        description="Length of a training window, in seconds of the broker's append time. Shorter "
        "windows teach the model sooner, as long as the trainer keeps up. Choose it before the "
        "first event: the worker refuses another value later.",
    )
    grace_ms: int = Field(
        200,
        ge=0,
        description="Milliseconds that a partition without new events waits after a window's end "
        "before it closes the window. Raise it if your brokers' clocks differ by more; windows "
        "then close later.",
    )
    max_targets: int = Field(
        512,
        ge=1,
        description="Most events of one user in one training example; what is more goes into "
        "further examples. Lower it if the worker says that an example does not fit into a Kafka "
        "record.",
    )
    stretch_events: int = Field(
        65_536,
        ge=1,
        description="Number of events of one partition after which a window's examples are made "
        "early. It bounds the worker's memory: for up to twice as many events per partition, at "
        "some 100 bytes each. Lower it to save memory.",
    )
    history_events: int = Field(
        4_000,
        ge=0,
        description="Number of events of one partition after which a window of history is over, "
        "if it is not over before; 0 for no such bound. History are events that happened more "
        "than an hour before they came, such as those of `everfresh backfill`. Raise it to learn "
        "history faster: larger windows read their users' past less often. Lower it if the gate "
        "holds windows of your history, or if the trainer's memory is short.",
    )
    part_bytes: int = Field(
        131_072,
        ge=1024,
        description="Approximate size, in bytes, of the Kafka records in which a window's "
        "examples are sent. Lower it if your brokers take only small records.",
    )


class JoinSettings(Group):
    """How answers are joined with the feedback that they got."""

    horizon_s: float = Field(
        1800.0,
        ge=0,
        le=2_592_000,
        description="Seconds of append time during which feedback on an answer counts. The "
        "outcome of the answer is written after that, so a longer horizon catches later feedback "
        "and makes outcomes later. 0 joins nothing.",
    )
