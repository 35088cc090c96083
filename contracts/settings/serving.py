"""Settings of the replicas, of the Ray cluster, and of what is measured and traced."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_serializer, field_validator

from everfresh.contracts.settings.group import Group, Host
from everfresh.contracts.settings.replica_range import ReplicaRange, replica_range


class ServingSettings(Group):
    """The replicas, which answer requests over HTTP and gRPC."""

    host: Host = Field(
        "127.0.0.1",
        description="Network address on which HTTP and gRPC are offered. 127.0.0.1 is reachable "
        "from this machine only; set 0.0.0.0, or one of its addresses, to serve other machines.",
    )
    port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="TCP port of the HTTP service; 0 takes a free one. Set it if clients need a "
        "fixed address.",
    )
    grpc_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="TCP port of the gRPC service; 0 takes a free one. Set it if clients need a "
        "fixed address.",
    )
    route_prefix: str = Field(
        "/",
        pattern=r"^(/|(/[A-Za-z0-9_.~-]+)+)$",
        description="Path that stands before every HTTP address, such as /shop for "
        "/shop/v1/recommend. Set it where this Ray's Serve has other applications, or another "
        "everfresh: each needs a path of its own.",
    )
    replicas: int | str = Field(
        2,
        description="Number of processes that answer requests: one number, or a range such as "
        '"2..6" within which Ray Serve follows the load. Raise it for more requests per second if '
        "cores are free: plan 0.8 ms of CPU for each recommendation.",
    )
    leave_after_s: float = Field(
        300.0,
        ge=1.0,
        description="Seconds for which fewer replicas must be enough before one leaves, where "
        "serving.replicas is a range. Raise it if your load comes and goes: a replica that joins "
        "again needs some seconds, and has no user's history in its cache.",
    )
    cpus: float = Field(
        0.0,
        ge=0.0,
        description="CPUs that Ray sets aside for each replica when it places it. 0 counts none. "
        "Set it where Ray has other work on the replicas' node, so that Ray leaves them room; it "
        "limits nothing.",
    )
    poll_ms: int | None = Field(
        None,
        ge=10,
        description="Milliseconds between two looks of a replica at the weight store for a new "
        "version. If it is not set, 100 beside a folder and 1,000 at an object store, where each "
        "look is two requests for each track, which take processor time and may cost money. Lower "
        "it to swap sooner. Every process looks as seldom for tracks, and at least a second apart.",
    )
    push_ms: int | None = Field(
        None,
        ge=0,
        description="Milliseconds between two looks of the serving process at the weight store, "
        "to fetch a new version once and hand it to all replicas. If it is not set, 20 beside a "
        "folder and 500 at an object store, where each look is two requests for each live track. "
        "0 leaves fetching to each replica.",
    )
    push_bytes: int = Field(
        4_194_304,
        ge=0,
        description="Size in bytes from which a version is handed to the replicas in this way. A "
        "smaller one is fetched by each replica, which costs less than handing it on.",
    )
    max_k: int = Field(
        200,
        ge=1,
        description="Most items that one request may ask for (k). Raise it if clients need longer "
        "lists.",
    )
    max_items: int = Field(
        10_000,
        ge=1,
        description="Most items that one request may list to score, to allow or to exclude. Raise "
        "it if clients rank longer lists of candidates.",
    )
    max_events: int = Field(
        100,
        ge=0,
        description="Most events that one request may bring along because the log may not have "
        "them yet. 0 allows none.",
    )
    max_body_bytes: int = Field(
        262_144,
        ge=1024,
        description="Longest request body or gRPC message in bytes; a longer one is refused before "
        "a replica sees it. Raise it if clients list many items.",
    )
    timeout_ms: int = Field(
        2_000,
        ge=1,
        description="Milliseconds that a request may take for each of three steps: its head "
        "arrives, its body arrives, its turn comes. A request that takes longer is refused. Raise "
        "it for slow clients, lower it to refuse sooner under overload.",
    )
    cache_mb: int = Field(
        256,
        ge=0,
        description="Memory of each replica, in MiB and for each track, for what the model has "
        "computed from users' histories; 0 caches nothing. Raise it if more users are active at a "
        "time than it holds (419 KiB each if the network reads 200 events).",
    )
    cache_ahead: int = Field(
        64,
        ge=0,
        description="Number of recently active users whose histories each new version reads "
        "before it answers requests. More makes the first answers after a swap faster; each costs "
        "about 1.5 ms of processor time per version (100 events). Raise it if more users are "
        "active at a time; a version waits at most 0.3 s for it.",
    )
    tail: bool = Field(
        True,
        description="Whether trends are kept up between versions: what is hot, and what follows "
        "what, is counted on from each version by the events that came since, and they say who "
        "comes back after a pause. The trainer and "
        "`everfresh evaluate` then judge and weigh trends that way too. Switch it off if answers "
        "are to follow from the version and the user's own events alone.",
    )
    stale_after_s: float = Field(
        10.0,
        gt=0.0,
        description="Age of users' state in seconds from which answers and health say that it is "
        "stale. They go on: an answer from an older state beats none. Raise it if that is said "
        "too often; the state beside a worker or follower that runs is about a second old.",
    )
    restore_wait_s: float = Field(
        10.0,
        ge=0.0,
        description="Seconds that a replica which starts beside a stream worker waits for it to "
        "have restored all users' state; then it joins without, and answers as if nothing were "
        "known of the users that are missing. Raise it where other machines answer meanwhile, "
        "set 0 to wait for nothing. A machine that follows waits until its copy is there.",
    )
    state_wait_ms: int = Field(
        500,
        ge=0,
        description="Milliseconds that a request with min_state_offset waits for the user's state "
        "to hold that event; then it is refused with 503. Raise it if clients can wait longer "
        "for their own events.",
    )
    admin_token: SecretStr = Field(
        SecretStr(""),
        description="Secret that opens /v1/admin, sent as `Authorization: Bearer SECRET`. Set it "
        "to use these addresses; empty keeps them closed to everyone.",
    )

    @field_validator("replicas")
    @classmethod
    def _range(cls, replicas: int | str) -> int | str:
        return replica_range(replicas).setting

    @property
    def replica_range(self) -> ReplicaRange:
        """How many replicas there may be."""
        return replica_range(self.replicas)

    @field_serializer("admin_token", when_used="json")
    def _plain(self, token: SecretStr) -> str:
        # Settings go to child processes as JSON; what is printed or logged shows asterisks.
        return token.get_secret_value()

    threads: int = Field(
        1,
        ge=1,
        description="Number of CPU threads of each replica. Raise it if cores are free and single "
        "answers take too long.",
    )
    max_ongoing: int = Field(
        64,
        ge=1,
        description="Number of requests that a replica works on at a time; it refuses what comes "
        "on top with 503. Raise it for short bursts, lower it to keep waits short.",
    )


class RaySettings(Group):
    """The Ray cluster that the trainer and the replicas run on."""

    address: str = Field(
        "",
        description="Ray cluster to join, as HOST:PORT; serving runs at its head, beside what "
        "Serve has there. Leave it empty, and `everfresh up` starts one on this machine.",
    )
    application: str = Field(
        "everfresh",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
        description="Name that this deployment has in the Ray cluster: of its Serve application, "
        "and of the namespace of its actors. Give each everfresh on one Ray a name of its own.",
    )
    object_store_mb: int = Field(
        256,
        ge=80,
        description="Shared memory of a local Ray cluster, in MiB; large versions reach the "
        "replicas through it. Raise it if one version of your weights is larger.",
    )
    metrics: bool = Field(
        False,
        description="Whether Ray keeps metrics of its own, about every request too. They cost up "
        "to a sixth of an answer's time. Turn them on if you look at Ray's dashboards; "
        "everfresh's own metrics do not need them.",
    )


class MetricsSettings(Group):
    """Prometheus metrics of each process."""

    enabled: bool = Field(
        True,
        description="Whether each process offers metrics on a TCP port of its own. Turn it off if "
        "nothing collects them.",
    )
    host: Host = Field(
        "127.0.0.1",
        description="Network address on which metrics are offered. 127.0.0.1 is reachable from "
        "this machine only; set another to collect from elsewhere.",
    )
    port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="First TCP port for metrics; each process takes the next one that is free. 0 "
        "takes any free port. Set it if a firewall must know the ports.",
    )


class TracingSettings(Group):
    """Traces of events, windows, versions and answers, sent by OpenTelemetry."""

    enabled: bool = Field(
        False,
        description="Whether worker, trainer and replicas send traces, by OTLP over HTTP. Turn it "
        "on to follow single events into versions and answers; it needs everfresh[tracing] where "
        "they run. OpenTelemetry's own variables say the rest, such as OTEL_EXPORTER_OTLP_ENDPOINT "
        "and OTEL_TRACES_SAMPLER.",
    )
