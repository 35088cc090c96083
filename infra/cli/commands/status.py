"""``everfresh status``: what runs, how far it is behind, and how fresh its model is."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path

from rich.console import RenderableType

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.kafka.topics import end_offsets
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, topic_name
from everfresh.infra.cli.http_client import serving_url
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.run_reports import STALE_MS, RunReports, what_happened
from everfresh.infra.cli.views.scores import CONTENDERS
from everfresh.infra.cli.views.tables import described, new_table
from everfresh.infra.cli.views.text import MISSING, local_time, score, seconds
from everfresh.infra.run.run_record import is_supervised, read_record

_LAST_WINDOWS = 8
_FIGURES = {
    "worker": ("partitions", "applied", "rejected", "lag"),
    "follower": ("partitions", "lag", "state_age_ms"),
    "trainer": ("version", "windows", "backlog"),
    "track": ("version", "windows", "backlog"),
    "replica": ("version", "requests", "failed"),
    "bridge": ("events", "rejected", "lag"),
    "guard": ("guarded", "looks"),
}
_OF_TRAINING = (
    *("backlog_s", "merged", "sampled", "events_per_s", "loss", "held", "let_pass"),
    *(
        "floods",
        "refused",
        "curated",
        "rolled_back",
        "overtaken",
        "workers_lost",
        "undeleted",
        "foreign",
    ),
    *("failed", "last_held", "last_foreign"),
)
_IF_NOT_ZERO = {
    "worker": (
        *("misplaced", "restoring", "from_snapshot", "from_log", "truncated"),
        "snapshots_refused",
    ),
    "follower": (
        *("bytes_left", "from_snapshot", "from_log", "snapshots_refused", "rejected"),
        "differs",
    ),
    "trainer": _OF_TRAINING,
    "track": _OF_TRAINING,
    "replica": (
        *("epoch", "state_missing", "load_failures", "experiments", "experiments_left_out"),
        *("experiments_late", "experiments_failed", "experiments_unknown_arm", "without_track"),
        *("items", "items_cold", "items_left_out", "items_reason"),
        *("experiments_closed_arms", "experiments_reason", "tracks_reason", "reason"),
    ),
    "bridge": ("events_per_s", "filtered", "tombstones", "gap", "aborted", "reason"),
    "guard": ("reason",),
}
"""Figures that are shown where they are not zero; texts, which are long, come last."""


def run_status(settings: Settings) -> None:
    """Print it; ``RunError`` where nothing is up, ``Unreachable`` where no broker answers."""
    settings = with_brokers(settings)
    console = Terminal()
    reports, left_out = _read(settings)
    now_ms = time.time_ns() // 1_000_000
    _print_run(console, settings.home.resolve())
    console.print(_components(reports, now_ms))
    brokers, prefix = settings.kafka.brokers, settings.kafka.topic_prefix
    partitions: dict[str, int] = {}
    for spec in (EVENTS, DEAD_LETTERS):
        ends = end_offsets(brokers, topic_name(prefix, spec))
        partitions[spec.name] = len(ends)
        console.print(f"{spec.name}: {sum(ends.values()):,} records in {len(ends)} partitions")
    if line := homes_line(reports, now_ms, partitions[EVENTS.name]):
        console.print(line)
    lag = reports.total("worker", "lag", now_ms)
    console.print(f"lag: {lag:,} events are in the log and not yet in the users' state")
    console.print()
    console.print(_windows(reports.windows[-_LAST_WINDOWS:]))
    console.print(freshness_line(reports, _pointer(settings), now_ms))
    if left_out:
        console.print(left_out)


def _pointer(settings: Settings) -> Pointer | None:
    """``None`` also where the weight store cannot be read from here: all else is still shown."""
    with contextlib.suppress(EverfreshError):
        return FsspecWeightStore.of(settings).pointer()
    return None


def _read(settings: Settings) -> tuple[RunReports, str]:
    """What was reported, and a line on what is no report."""
    reports = RunReports(settings.serving.replica_range.least)
    with RecordTail(settings.kafka.brokers, settings.kafka.topic_prefix) as tail:
        for record in tail.read_to_end():
            if isinstance(record, WindowReport):
                reports.window(record)
            elif isinstance(record, ComponentStatus):
                reports.status(record)
        return reports, tail.left_out()


def _print_run(console: Terminal, home: Path) -> None:
    record = read_record(home)
    if record is None or not is_supervised(home):
        return
    console.print(f"run in {home}: {record.state}, started {local_time(record.started_ms)}")
    console.print(f"  Kafka {record.bootstrap_servers}   Ray {record.ray_address}")
    if url := serving_url(home):
        console.print(f"  recommendations {url}/v1/recommend")
    for name, process in record.components.items():
        console.print(f"  {name:8} process {process.pid}", style="dim")


def _components(reports: RunReports, now_ms: int) -> RenderableType:
    table = new_table("component", "state", "last report", "figures")
    for kind, names in _FIGURES.items():
        for status in reports.components(kind, now_ms):
            words = [f"{name} {status.figures.get(name, MISSING)}" for name in names]
            words += [
                f"{name} {_short(status.figures[name])}"
                for name in (*_IF_NOT_ZERO[kind], "metrics")
                if status.figures.get(name)
            ]
            age = f"{max(0, now_ms - status.time) / 1000:.1f} s ago"
            table.add_row(status.component, status.state, age, "  ".join(words))
    if not table.row_count:
        table.add_row(f"none has reported in the last {STALE_MS / 1000:.0f} s", "", "", "")
    note = (
        "applied, events, rejected: records so far. lag: records not applied yet. backlog: windows "
        "that wait for training. misplaced: records of a producer with another partitioner than "
        "murmur2. Less is better for rejected, misplaced, lag, backlog and failed."
    )
    return described("Components", table, note)


def homes_line(reports: RunReports, now_ms: int, partitions: int) -> str:
    """Where workers of several homes share the topic's partitions: which home has how many, and
    what that means. Empty where one home has them all, and where they claim more than there are:
    then some are counted for a worker that was lost too, until its last word is stale."""
    has: Counter[str] = Counter()
    for worker in reports.components("worker", now_ms):
        place, number = worker.place.rpartition("#")[0], worker.figures.get("partitions")
        if place and isinstance(number, int) and number > 0:
            has[place] += number
    if len(has) < 2 or has.total() > partitions:
        return ""
    shares = ", ".join(f"{place} has {number}" for place, number in sorted(has.items()))
    return (
        f"workers of {len(has)} homes share the partitions: {shares}. Replicas read users' state "
        "in their own home, where that of the other partitions stands still. If this is not meant, "
        "stop the workers of the other home: their partitions come back and go on from the log, "
        "where nothing is applied twice"
    )


def _short(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _windows(windows: list[WindowReport]) -> RenderableType:
    figures = ("version", "events", *CONTENDERS, "took")
    table = new_table(*figures, "what happened", right=figures)
    for report in windows:
        scores = [score(report.scores.get(name, {}).get("hr10")) for name in CONTENDERS]
        times = report.appended
        median = times[len(times) // 2] if times else report.published_ms
        took = None if report.held else (report.published_ms - median) / 1000
        table.add_row(
            str(report.version),
            f"{report.events:,}",
            *scores,
            seconds(took),
            what_happened(report),
        )
    note = (
        f"{', '.join(CONTENDERS)}: HR@10, the share of events whose item was among the ten ranked "
        "highest, before training on the window; more is better. took: from the append of its "
        "median event until its version was published; less is better."
    )
    return described("Last windows, oldest first", table, note)


def _live_now(version: int) -> str:
    return f"now version {version} is" if version else "no version is yet"


def freshness_line(reports: RunReports, pointer: Pointer | None, now_ms: int) -> str:
    """How old the events of the newest window were when its version was live everywhere.

    The status topic keeps each component's last status only, so nothing is known of earlier
    versions. After a rollback there is no such figure until the next version: the line says what
    is live instead.
    """
    if pointer is not None and pointer.left:
        replicas = reports.components("replica", now_ms)
        live = sum(status.figures.get("version") == pointer.version for status in replicas)
        return (
            f"freshness: not known after the rollback from version {pointer.left} to "
            f"{pointer.version}, which is live on {live} of {len(replicas)} replicas; it is "
            "measured again with the next version"
        )
    trained = [report for report in reports.windows if not report.held]
    if not trained:
        return "freshness: not known before the first version is live on every replica"
    newest = trained[-1]
    moment = reports.live.everywhere_since(newest.version)
    everywhere = reports.version_everywhere(now_ms)
    if moment is None or everywhere != newest.version:
        return (
            f"freshness: not known before version {newest.version}, the newest that was trained, "
            f"is live on every replica; {_live_now(everywhere)}"
        )
    ages = [(moment - at) / 1000 for at in newest.appended]
    return (
        f"freshness of the newest window: p50 {seconds(ages[len(ages) // 2])}, "
        f"p99 {seconds(ages[min(1, len(ages) - 1)])} from an event's append until its version is "
        "live on every replica (less is better)"
    )
