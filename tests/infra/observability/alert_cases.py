"""A healthy loop as series of Prometheus's, one sample a minute, and what each alert fires on."""

from __future__ import annotations

from collections.abc import Mapping

_WORKER = 'component="worker-0",kind="worker",job="loop"'
_TRAINER = 'component="trainer",kind="trainer",job="loop"'
_REPLICA = 'component="replica-a",kind="replica",job="loop"'
_BRIDGE = 'component="bridge-shop-0",kind="bridge",job="loop"'
_SECONDS = f'outcome="answered",route="recommend",{_REPLICA}'

ALWAYS_0 = "0x40"
ONCE = "0x15 1x25"
"""A counter that grows by one, four minutes before the alerts are looked at."""
GROWS = "0+1x40"


def worker(name: str, labels: str = "") -> str:
    """A series of the stream worker."""
    return f"everfresh_worker_{name}{{{labels}{_WORKER}}}"


def trainer(name: str, labels: str = "") -> str:
    """A series of the trainer."""
    return f"everfresh_trainer_{name}{{{labels}{_TRAINER}}}"


def replica(name: str, labels: str = "") -> str:
    """A series of a replica."""
    return f"everfresh_replica_{name}{{{labels}{_REPLICA}}}"


def bridge(name: str, labels: str = "") -> str:
    """A series of a bridge."""
    return f"everfresh_bridge_{name}{{{labels}{_BRIDGE}}}"


def guard(name: str) -> str:
    """A series of the guard."""
    return f'everfresh_guard_{name}{{component="guard",kind="guard",job="loop"}}'


def duration(le: str) -> str:
    """A bucket of the times of recommendations."""
    return f'everfresh_replica_request_duration_seconds_bucket{{le="{le}",{_SECONDS}}}'


def problem(kind: str) -> str:
    """Requests that ended so."""
    return replica("request_problems_total", f'problem="{kind}",')


_COUNTED = (
    *("held_windows", "let_pass_windows", "flooded_windows", "rollbacks", "lost_workers"),
    *("overtaken_publishes", "foreign_records", "failed_deletions"),
)

HEALTHY: Mapping[str, str] = {
    **{trainer(f"{name}_total"): ALWAYS_0 for name in _COUNTED},
    trainer("backlog_seconds"): "1x40",
    worker("lag_records"): "10x40",
    worker("applied_events_total"): "0+600x40",
    worker("dead_letters_total", 'reason="oversize",'): "3x40",
    worker("misplaced_records_total"): ALWAYS_0,
    worker("snapshots_failed_total"): ALWAYS_0,
    bridge("waiting"): ALWAYS_0,
    bridge("lag_records"): "10x40",
    bridge("dead_letters_total", 'reason="no_time",'): "3x40",
    replica("closed_arms"): ALWAYS_0,
    guard("waiting"): ALWAYS_0,
    replica("epoch"): "1x40",
    replica("state_age_seconds"): "1x40",
    replica("start_timestamp_seconds"): ALWAYS_0,
    # A version that goes live every minute.
    replica("version_live_timestamp_seconds"): "0+60x40",
    replica("version_load_failures_total"): ALWAYS_0,
    replica("failed_exposures_total"): ALWAYS_0,
    **{problem(kind): ALWAYS_0 for kind in ("internal", "overloaded", "malformed")},
    duration("0.1"): "0+99x40",
    duration("0.5"): "0+100x40",
    duration("+Inf"): "0+100x40",
    f"up{{{_WORKER}}}": "1x40",
    f"everfresh_exporter_component_up{{{_WORKER}}}": "1x40",
}

CASES: list[tuple[Mapping[str, str], set[str]]] = [
    ({}, set()),
    # Wrong requests, and a lag or a backlog that is worked off within five minutes, wake nobody.
    ({problem("malformed"): GROWS}, set()),
    ({worker("lag_records"): "10x15 90000x4 10x25"}, set()),
    ({trainer("backlog_seconds"): "1x16 90x3 1x25"}, set()),
    # Without events nothing is learnt, and weights may be as old as they are.
    (
        {
            replica("version_live_timestamp_seconds"): ALWAYS_0,
            worker("applied_events_total"): "600x40",
        },
        set(),
    ),
    ({trainer("held_windows_total"): ONCE}, {"WindowHeld"}),
    ({trainer("let_pass_windows_total"): ONCE}, {"WindowLetPass"}),
    ({trainer("flooded_windows_total"): ONCE}, {"FloodOfItems"}),
    ({trainer("rollbacks_total"): ONCE}, {"RolledBack"}),
    ({replica("epoch"): "1x15 2x25"}, {"RolledBack"}),
    ({trainer("backlog_seconds"): "61x40"}, {"TrainerBehind"}),
    ({worker("lag_records"): "10001x40"}, {"WorkerBehind"}),
    ({replica("state_age_seconds"): "1x15 31x25"}, {"StateStale"}),
    ({replica("state_age_seconds"): "29x40"}, set()),
    ({bridge("waiting"): "0x15 1x25"}, set()),
    ({bridge("waiting"): "1x40"}, {"BridgeWaits"}),
    ({bridge("lag_records"): "10001x40"}, {"BridgeWaits"}),
    ({bridge("dead_letters_total", 'reason="no_time",'): "3x18 4x22"}, {"BridgeRejects"}),
    ({bridge("dead_letters_total", 'reason="not_json",'): "_x18 1x22"}, {"BridgeRejects"}),
    ({replica("version_load_failures_total"): GROWS}, {"VersionDoesNotLoad"}),
    ({problem("internal"): "0x18 3x25"}, {"RequestsFail"}),
    ({problem("overloaded"): GROWS}, {"RequestsRefused"}),
    ({duration("0.1"): "0+98x40"}, {"AnswersSlow"}),
    ({replica("version_live_timestamp_seconds"): ALWAYS_0}, {"WeightsOld"}),
    ({replica("failed_exposures_total"): "0x18 3x25"}, {"ExposuresLost"}),
    ({replica("start_timestamp_seconds"): "0x10"}, {"NoReplica"}),
    ({trainer("lost_workers_total"): ONCE}, {"WorkersLost"}),
    ({trainer("standing_still"): "0x10 1x30"}, {"TrackStandsStill"}),
    ({trainer("track_standing_still", 'track="fast",'): "0x10 1x30"}, {"TrackStandsStill"}),
    ({replica("closed_arms"): "0x18 1x22"}, {"ArmClosed"}),
    ({guard("waiting"): "0x15 1x25"}, set()),
    ({guard("waiting"): "0x5 1x35"}, {"GuardrailsUnseen"}),
    ({trainer("overtaken_publishes_total"): ONCE}, {"PointerOvertaken"}),
    ({trainer("foreign_records_total"): ONCE}, {"ForeignRecords"}),
    ({trainer("failed_deletions_total"): ONCE}, {"VersionsUndeleted"}),
    ({worker("dead_letters_total", 'reason="oversize",'): "3x18 4x22"}, {"DeadLetters"}),
    # The first of its reason: its series begins with it.
    ({worker("dead_letters_total", 'reason="not_json",'): "_x18 1x22"}, {"DeadLetters"}),
    ({worker("misplaced_records_total"): "0x18 1x22"}, {"OtherPartitioner"}),
    ({worker("snapshots_failed_total"): ONCE}, {"SnapshotsFail"}),
    ({f"up{{{_WORKER}}}": "1x15 0x25"}, {"ComponentGone"}),
    (
        {f"everfresh_exporter_component_up{{{_WORKER}}}": "1x15 0x25"},
        {"ComponentGone"},
    ),
]
"""Series that differ from those of a healthy loop, and the alerts that fire 20 minutes later."""
