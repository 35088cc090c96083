"""Settings of the log and of the stream worker."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from everfresh.contracts.settings.group import Group


class KafkaSettings(Group):
    """The log."""

    bootstrap_servers: str = Field(
        "", description="host:port[,…] of the brokers; empty starts an embedded one with `up`."
    )
    topic_prefix: str = Field("everfresh.", description="Put before every topic name.")
    partitions: int = Field(4, ge=1, le=4096, description="Partitions of the events topic.")
    replication: int = Field(1, ge=1, description="Replicas of each topic that is created.")
    heap_mb: int = Field(384, ge=128, description="Heap of the embedded broker.")
    session_ms: int = Field(
        10_000,
        ge=1000,
        description="A worker silent for so long loses its partitions; the brokers' "
        "group.min.session.timeout.ms must allow it.",
    )


class EventSettings(Group):
    """What is accepted from producers."""

    actions: list[str] = Field(
        ["view", "click", "like", "purchase", "rating", "skip"],
        min_length=1,
        max_length=255,
        description="Accepted event types, in a fixed order: new ones go to the end.",
    )
    max_bytes: int = Field(65_536, ge=256, description="Larger event values are dead letters.")
    ahead_s: float = Field(
        3600.0,
        ge=0.0,
        description="Events whose time is later than the broker's by more than this are dead "
        "letters.",
    )
    remember_ids: int = Field(
        50_000,
        ge=0,
        description="An event is a duplicate where one of at least so many accepted events before "
        "it, in its partition, had its user and id; twice as many are kept at most, at some 100 "
        "bytes of memory each. 0 looks for none.",
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        if len(set(self.actions)) != len(self.actions):
            raise ValueError("events.actions names an action twice")
        return self


class StateSettings(Group):
    """The per-user state in RocksDB."""

    history_length: int = Field(
        200, ge=1, le=10_000, description="How many of a user's last events are kept."
    )
    block_cache_mb: int = Field(
        64, ge=1, description="RocksDB block cache, shared by all partitions."
    )
    write_buffer_mb: int = Field(16, ge=1, description="RocksDB write buffer per partition.")
    outbox_mb: int = Field(
        64,
        ge=1,
        description="Where more than this waits in a partition's outbox for Kafka, the worker "
        "reads no further until it is delivered.",
    )
    snapshot_url: str = Field(
        "",
        description="fsspec URL or folder of state snapshots; empty means <home>/snapshots. Name a "
        "place off this machine to survive the loss of its disk.",
    )
    snapshot_every_s: float = Field(
        300.0, ge=0.0, description="How often each partition's state is snapshot; 0 for never."
    )
    snapshots_kept: int = Field(2, ge=1, description="Snapshots kept of each partition.")
    accept_truncated_log: bool = Field(
        False,
        description="Begin at the log's first record where retention has cut its beginning and no "
        "state or snapshot reaches it; users then lack what was cut.",
    )


class WindowSettings(Group):
    """How the log is cut into training windows."""

    seconds: float = Field(
        2.0, ge=0.1, le=86_400, description="Length of a window in broker append time."
    )
    grace_ms: int = Field(
        200, ge=0, description="How long an idle partition waits past a window's end to close it."
    )
    max_targets: int = Field(
        512, ge=1, description="More events of one user in one window make a further example."
    )
    stretch_events: int = Field(
        65_536,
        ge=1,
        description="More events of one partition in one window make further examples of its "
        "users; bounds the worker's memory.",
    )
    part_bytes: int = Field(
        131_072, ge=1024, description="Examples of a window are sent in parts of about this size."
    )


class JoinSettings(Group):
    """How exposures are joined with the feedback they got."""

    horizon_s: float = Field(
        1800.0,
        ge=0,
        le=2_592_000,
        description="How long, in append time, feedback on an exposure counts for its outcome; the "
        "outcome is written after that. 0 joins nothing.",
    )
