"""``everfresh status``: what runs, how far it is behind, and how fresh its answers are."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.kafka.topics import end_offsets
from everfresh.adapters.machine.endpoint_record import endpoint_url
from everfresh.adapters.weights.signing import Keys
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, topic_name
from everfresh.infra.cli.commands.replay import joined
from everfresh.infra.cli.views.figures import CONTENDERS
from everfresh.infra.cli.views.live import figure, seconds
from everfresh.infra.cli.views.observed import Observed
from everfresh.infra.run.run_record import is_supervised, read_record

_LAST = 8
_FIGURES = {
    "worker": ("applied", "rejected", "lag"),
    "trainer": ("version", "windows", "backlog"),
    "replica": ("version", "requests", "failed"),
}
_IF_ANY = {
    "worker": ("restoring", "from_snapshot", "from_log", "truncated", "snapshots_refused"),
    "trainer": (
        *("backlog_s", "merged", "sampled", "events_per_s", "loss", "held", "let_pass"),
        *("rolled_back", "overtaken", "workers_lost", "undeleted", "last_held"),
    ),
    "replica": ("epoch", "load_failures", "reason"),
}
"""Figures that are shown where they are there and not zero; texts, which are long, come last."""


def run_status(settings: Settings) -> None:
    """Print it; ``RunError`` where nothing is up, ``Unreachable`` where no broker answers."""
    settings = joined(settings)
    console = Console(highlight=False)
    seen = _observe(settings)
    now_ms = time.time_ns() // 1_000_000
    _print_run(console, settings.home.resolve())
    console.print(_components(seen, now_ms))
    servers, prefix = settings.kafka.bootstrap_servers, settings.kafka.topic_prefix
    for spec in (EVENTS, DEAD_LETTERS):
        ends = end_offsets(servers, topic_name(prefix, spec))
        console.print(f"{spec.name}: {sum(ends.values()):,} records in {len(ends)} partitions")
    lag = seen.total("worker", "lag", now_ms)
    console.print(f"lag: {lag:,} events not applied to the state yet\n")
    console.print(_windows(seen.windows[-_LAST:]))
    console.print(freshness_line(seen, _pointer(settings), now_ms))


def _pointer(settings: Settings) -> Pointer | None:
    """``None`` also where the weight store cannot be read from here: the rest is said all the
    same."""
    with contextlib.suppress(EverfreshError):
        return FsspecWeightStore(settings.weights_url, keys=Keys.of(settings.weights)).pointer()
    return None


def _observe(settings: Settings) -> Observed:
    seen = Observed(settings.serving.replicas)
    with RecordTail(settings.kafka.bootstrap_servers, settings.kafka.topic_prefix) as tail:
        for record in tail.read_to_end():
            if isinstance(record, WindowReport):
                seen.window(record)
            elif isinstance(record, ComponentStatus):
                seen.status(record)
    return seen


def _print_run(console: Console, home: Path) -> None:
    record = read_record(home)
    if record is None or not is_supervised(home):
        return
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.started_ms / 1000))
    console.print(f"run of {home}: {record.state}, since {since}")
    console.print(f"  Kafka {record.bootstrap_servers}   Ray {record.ray_address}")
    if url := endpoint_url(home):
        console.print(f"  recommendations {url}/v1/recommend")
    for name, one in record.components.items():
        console.print(f"  {name:8} process {one.pid}", style="dim")


def _components(seen: Observed, now_ms: int) -> Table:
    table = Table()
    for name in ("component", "state", "heard", "figures"):
        table.add_column(name)
    for kind, names in _FIGURES.items():
        for one in seen.components(kind, now_ms):
            words = [f"{name} {one.figures.get(name, '-')}" for name in names]
            words += [
                f"{name} {_short(one.figures[name])}"
                for name in (*_IF_ANY[kind], "metrics")
                if one.figures.get(name)
            ]
            heard = f"{max(0, now_ms - one.time) / 1000:.1f} s ago"
            table.add_row(one.component, one.state, heard, Text("  ".join(words)))
    if not table.row_count:
        table.add_row("none has been heard of lately", "", "", "")
    return table


def _short(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _how(one: WindowReport) -> str:
    """What the gate, a rollback or a backlog did with a window."""
    words = [f"held: {one.held}"] if one.held else []
    if one.left:
        words.append(f"version {one.left} left out by a rollback")
    if one.merged:
        words.append(f"{len(one.merged)} windows merged")
    if one.sampled < 1.0:
        words.append(f"{one.sampled:.0%} sampled")
    return ", ".join(words) or "usual"


def _windows(windows: list[WindowReport]) -> Table:
    table = Table(title="last windows; HR@10 before training on them", title_justify="left")
    for name in ("version", "events", *CONTENDERS, "append to published"):
        table.add_column(name, justify="right")
    table.add_column("how")
    for one in windows:
        scores = [figure(one.scores.get(name, {}).get("hr10")) for name in CONTENDERS]
        middle = one.appended[len(one.appended) // 2] if one.appended else one.published_ms
        took = None if one.held else (one.published_ms - middle) / 1000
        how = Text(_how(one))
        table.add_row(str(one.version), f"{one.events:,}", *scores, seconds(took), how)
    return table


def freshness_line(seen: Observed, pointer: Pointer | None, now_ms: int) -> str:
    """How old the events of the newest window were when its version was live everywhere.

    Of earlier versions the status topic, which keeps last words, does not tell any more. After a
    rollback there is no such figure until a version has come of it: it says what is live instead.
    """
    if pointer is not None and pointer.left:
        replicas = seen.components("replica", now_ms)
        live = sum(one.figures.get("version") == pointer.version for one in replicas)
        return (
            f"freshness: version {pointer.version} is the current one by a rollback from "
            f"{pointer.left}, live on {live} of {len(replicas)} replicas; known again once the "
            "next version is trained and live everywhere"
        )
    trained = [window for window in seen.windows if not window.held]
    if not trained:
        return "freshness: known once the first version is trained and live everywhere"
    newest = trained[-1]
    moment, everywhere = seen.live.everywhere_since(newest.version), seen.version_everywhere(now_ms)
    if moment is None or everywhere != newest.version:
        return (
            f"freshness: known once version {newest.version}, which is trained, is live "
            f"everywhere; now that is {everywhere}"
        )
    ages = [(moment - at) / 1000 for at in newest.appended]
    return (
        f"freshness of the newest window: p50 {seconds(ages[len(ages) // 2])}, "
        f"p99 {seconds(ages[min(1, len(ages) - 1)])} from append to live on every replica"
    )
