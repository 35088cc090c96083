"""The one settings tree: defaults, then a TOML file, then ``EVERFRESH_…`` environment variables.

``EVERFRESH_WINDOWS__SECONDS=5`` sets ``windows.seconds``. Unknown names and impossible
combinations are refused at load, before anything heavy is imported.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from contracts.errors import SettingsError
from contracts.manifest import Rows

DEFAULT_FILE = "everfresh.toml"
FILE_VARIABLE = "EVERFRESH_CONFIG"


def _loopback_or_named(host: str) -> str:
    if not host:
        raise ValueError("a host is needed; 127.0.0.1 keeps it to this machine")
    return host


Host = Annotated[str, AfterValidator(_loopback_or_named)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Group):
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


class EventSettings(_Group):
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


class StateSettings(_Group):
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


class WindowSettings(_Group):
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


class JoinSettings(_Group):
    """How exposures are joined with the feedback they got."""

    horizon_s: float = Field(
        1800.0,
        ge=0,
        le=2_592_000,
        description="How long, in append time, feedback on an exposure counts for its outcome; the "
        "outcome is written after that. 0 joins nothing.",
    )


class ModelSettings(_Group):
    """The network (HSTU, arXiv 2402.17152)."""

    dim: int = Field(64, ge=4, description="Width of item embeddings and of every block.")
    blocks: int = Field(2, ge=1, description="Number of HSTU blocks.")
    heads: int = Field(2, ge=1, description="Attention heads; must divide dim.")
    max_length: int = Field(
        100, ge=2, le=8192, description="Longest sequence the network sees, in events."
    )
    dropout: float = Field(0.4, ge=0.0, lt=1.0, description="Dropout while training.")
    temperature: float = Field(0.07, gt=0.0, description="Softmax temperature over cosine scores.")
    negatives: int = Field(
        4096, ge=1, description="Sampled negatives per batch; all items where there are fewer."
    )
    admit_after: int = Field(1, ge=1, description="Sightings before an item gets a row.")
    epsilon: float = Field(
        1e-5,
        gt=0.0,
        description="Added to variances that blocks norm by; the larger, the less few events say.",
    )

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"model.heads ({self.heads}) must divide model.dim ({self.dim})")
        return self


class GateSettings(_Group):
    """What a window and its candidate must hold to be published; see trainer/gate.py."""

    share: float = Field(
        0.05, ge=0.0, lt=1.0, description="Share of targets held back to measure on; 0 for none."
    )
    windows: int = Field(
        3, ge=1, description="Windows for which a target is held back before it is trained."
    )
    tolerance: float = Field(
        0.1, ge=0.0, description="Loss of discounted gain, as a share of the parent's, let pass."
    )
    confidence: float = Field(
        3.0, ge=0.0, description="Standard errors by which a loss must exceed the tolerance."
    )
    norm_jump: float = Field(
        4.0, gt=1.0, description="Factor by which a weight's norm may grow in one window."
    )
    item_share: float = Field(
        0.5, gt=0.0, le=1.0, description="Share of a window's events that one item may have."
    )
    clock_shift: float = Field(
        0.35,
        gt=0.0,
        le=1.0,
        description="Share of pauses between a user's events that may change in length at once.",
    )
    trial_windows: int = Field(
        3, ge=0, description="Windows on which a version is tried against its parent; 0 for none."
    )
    patience: int = Field(
        10, ge=0, description="Windows held in a row until one passes all the same; 0 for never."
    )


class TrainerSettings(_Group):
    """Learning from each window."""

    strategy: Literal["frozen", "finetune", "replay", "distill", "ewc", "retrain"] = Field(
        "replay", description="How a window is learnt; docs/quality.md compares them."
    )
    learning_rate: float = Field(4e-3, gt=0.0, description="AdamW learning rate.")
    schedule: Literal["constant", "decay"] = Field(
        "constant",
        description="Learning rate within a window: the same, or falling, anew with each window.",
    )
    epochs: int = Field(3, ge=1, description="Passes over each window.")
    first_epochs: int = Field(
        0, ge=0, description="Passes over the first window, and of each retrain; 0 takes epochs."
    )
    batch_tokens: int = Field(1024, ge=16, description="Events in one optimisation step.")
    replay_examples: int = Field(
        1024, ge=0, description="Past examples kept in the replay reservoir; 0 for none."
    )
    replay_ratio: float = Field(
        1.0, ge=0.0, description="Replayed events per new event in each pass."
    )
    parent_share: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Share of the weights before a window in those it leaves: suits long windows "
        "of many passes; 0 leaves what was trained.",
    )
    expire_after_s: float = Field(
        2_592_000.0,
        ge=0.0,
        description="Log time without a sighting after which an item loses its row; 0 for never.",
    )
    replay_choice: Literal["random", "herding", "loss"] = Field(
        "random",
        description="Which past examples are kept: a reservoir, or exemplars as ADER chooses them.",
    )
    distill_weight: float = Field(
        0.8, ge=0.0, description="Strategy distill: base weight of the parent's word on the past."
    )
    ewc_weight: float = Field(
        1.0, ge=0.0, description="Strategy ewc: weight of the pull towards the parent's weights."
    )
    ewc_decay: float = Field(
        0.9, ge=0.0, le=1.0, description="Strategy ewc: what a window leaves of older importance."
    )
    ewc_examples: int = Field(
        128, ge=1, description="Strategy ewc: examples of a window that importance is measured on."
    )
    backlog: Literal["every", "merge", "sample"] = Field(
        "every",
        description="Behind the stream: train every window, merge those that wait, or sample each.",
    )
    backlog_windows: int = Field(
        4, ge=1, description="Complete windows that may wait until they are merged or sampled."
    )
    workers: int = Field(
        1, ge=1, le=64, description="Processes that train a window together; see trainer/team.py."
    )
    threads: int = Field(1, ge=1, description="CPU threads of the trainer, and of each worker.")
    seed: int = Field(17, ge=0, description="Seed of every random choice.")
    exclude_seen: bool = Field(
        False, description="Rank only items new to the user when scoring; for all contenders alike."
    )

    @model_validator(mode="after")
    def _means_only(self) -> Self:
        if self.workers > 1 and self.strategy == "distill":
            raise ValueError(
                "trainer.workers > 1 needs a loss that is a mean over targets, which that of "
                "strategy distill is not: set workers to 1, or choose replay"
            )
        return self


class WeightSettings(_Group):
    """Where versions are kept."""

    url: str = Field(
        "", description="fsspec URL or folder of the weight store; empty means <home>/weights."
    )
    keep: int = Field(20, ge=2, description="Newest versions kept; older ones are deleted.")
    snapshot_every: int = Field(
        16, ge=1, description="Every how many versions one is kept whole, not as a delta; 1: all."
    )
    rows: Rows = Field(
        "float32",
        description="What replicas read item rows as; shorter ones cost them accuracy, and the "
        "trainer another file.",
    )
    signing_key: Path | None = Field(
        None, description="Ed25519 private key, PEM: the trainer signs each manifest with it."
    )
    trusted_key: Path | None = Field(
        None, description="Ed25519 public key, PEM: versions it did not sign are refused."
    )


class ServingSettings(_Group):
    """The replicas and their HTTP door."""

    host: Host = Field(
        "127.0.0.1", description="Address the HTTP door binds; other than loopback is your choice."
    )
    port: int = Field(0, ge=0, le=65_535, description="HTTP port; 0 picks a free one.")
    grpc_port: int = Field(0, ge=0, le=65_535, description="gRPC port; 0 picks a free one.")
    replicas: int = Field(2, ge=1, description="Number of replicas.")
    poll_ms: int = Field(100, ge=10, description="How often a replica looks for a new version.")
    push_ms: int = Field(
        20, ge=0, description="How often the driver looks, to push a version to all; 0: no push."
    )
    push_bytes: int = Field(
        4_194_304, ge=0, description="A version of fewer bytes is left to the replicas' own look."
    )
    max_k: int = Field(200, ge=1, description="Largest k a request may ask for.")
    max_items: int = Field(
        10_000, ge=1, description="Most items a request may name to score, allow or exclude."
    )
    max_events: int = Field(100, ge=0, description="Most events of its own a request may bring.")
    max_body_bytes: int = Field(262_144, ge=1024, description="Longest request body.")
    timeout_ms: int = Field(
        2_000, ge=1, description="A request whose body or turn takes longer is refused."
    )
    cache_mb: int = Field(
        256, ge=0, description="Memory of a replica for what it made of users' pasts; 0 for none."
    )
    cache_reuse_versions: int = Field(
        0,
        ge=0,
        description="For how many versions what an older one made of a past is extended by newer "
        "ones; 0 has every version read every past itself.",
    )
    cache_ahead: int = Field(
        64,
        ge=0,
        description="Of so many users, asked for last, a version reads the past before it is live.",
    )
    admin_token: SecretStr = Field(
        SecretStr(""), description="Opens /v1/admin; empty keeps it closed to everyone."
    )

    @field_serializer("admin_token", when_used="json")
    def _plain(self, token: SecretStr) -> str:
        # Settings go to child processes as JSON; what is printed or logged shows asterisks.
        return token.get_secret_value()

    threads: int = Field(1, ge=1, description="CPU threads of a replica.")
    max_ongoing: int = Field(
        64, ge=1, description="Requests a replica has under way; it refuses what comes on top."
    )


class RaySettings(_Group):
    """The Ray cluster."""

    address: str = Field("", description="host:port to join; empty starts a local one with `up`.")
    object_store_mb: int = Field(256, ge=80, description="Object store of a local cluster.")


class MetricsSettings(_Group):
    """Figures for Prometheus, from each process."""

    enabled: bool = Field(True, description="Whether processes open a port for metrics.")
    host: Host = Field("127.0.0.1", description="Address that the metrics ports bind.")
    port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="First port for metrics: each process takes the next that is free; 0 for any.",
    )


class Settings(BaseSettings):
    """The whole tree. Build it with :func:`load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="EVERFRESH_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(
        Path(".everfresh"), description="Folder of everything a run keeps on this machine."
    )
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    events: EventSettings = Field(default_factory=EventSettings)
    state: StateSettings = Field(default_factory=StateSettings)
    windows: WindowSettings = Field(default_factory=WindowSettings)
    joins: JoinSettings = Field(default_factory=JoinSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    trainer: TrainerSettings = Field(default_factory=TrainerSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    weights: WeightSettings = Field(default_factory=WeightSettings)
    serving: ServingSettings = Field(default_factory=ServingSettings)
    ray: RaySettings = Field(default_factory=RaySettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)

    @property
    def weights_url(self) -> str:
        """The weight store's place, with the default filled in."""
        return self.weights.url or str(self.home.resolve() / "weights")

    @property
    def snapshots_url(self) -> str:
        """The place of state snapshots, with the default filled in."""
        return self.state.snapshot_url or str(self.home.resolve() / "snapshots")

    @property
    def state_dir(self) -> Path:
        """The folder that holds one RocksDB directory per partition."""
        return self.home.resolve() / "state"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, then environment, then the TOML file, then defaults."""
        file = os.environ.get(FILE_VARIABLE, DEFAULT_FILE)
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, toml_file=file),
        )


def load_settings(overrides: dict[str, Any] | None = None) -> Settings:
    """The settings of this process; ``overrides`` is a nested dict that beats everything else.

    The TOML file is ``everfresh.toml`` in the working directory, or the one that
    ``EVERFRESH_CONFIG`` names; a file that was named must exist. Raises ``SettingsError`` with one
    line per mistake.
    """
    named = os.environ.get(FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise SettingsError(f"{FILE_VARIABLE} names {named}, which is not a file")
    try:
        return Settings(**(overrides or {}))
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']}"
            for item in error.errors()
        ]
        raise SettingsError("wrong setting: " + "; ".join(lines)) from None
    except ValueError as error:
        raise SettingsError(f"settings cannot be read: {error}") from None
