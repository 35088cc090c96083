"""Settings of the replicas, of the Ray cluster, and of what is measured."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_serializer

from everfresh.contracts.settings.group import Group, Host


class ServingSettings(Group):
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


class RaySettings(Group):
    """The Ray cluster."""

    address: str = Field("", description="host:port to join; empty starts a local one with `up`.")
    object_store_mb: int = Field(256, ge=80, description="Object store of a local cluster.")
    metrics: bool = Field(
        False,
        description="Let Ray keep metrics of its own, of every request too; they cost as much as "
        "a sixth of an answer. Everfresh's do not need them.",
    )


class MetricsSettings(Group):
    """Figures for Prometheus, from each process."""

    enabled: bool = Field(True, description="Whether processes open a port for metrics.")
    host: Host = Field("127.0.0.1", description="Address that the metrics ports bind.")
    port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="First port for metrics: each process takes the next that is free; 0 for any.",
    )
