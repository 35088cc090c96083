"""``everfresh tracks list``: which tracks there are, where each stands, and what each costs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import EverfreshError, RunError, Unreachable, WeightsError
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.ports import TrainerStore
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.streams import write_json
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.run_reports import RunReports
from everfresh.infra.cli.views.tables import described, new_table
from everfresh.infra.cli.views.text import MISSING

_FIGURES = ("backlog", "held", "failed", "processor_s", "processor_per_window_s", "hr10")
"""Of the trainer's status of each track."""


def run_list(settings: Settings, *, as_json: bool) -> None:
    """Print it; ``WeightsError`` where the tracks cannot be read."""
    tracks = FsspecTracks(settings)
    reports, now_ms = _reports(settings), time.time_ns() // 1_000_000
    declared = tracks.declared()
    rows = [
        _row(tracks, name, track, reports, now_ms)
        for name, track in [(DEFAULT, None), *sorted(declared.items())]
    ]
    if as_json:
        write_json({"tracks": rows}, indent=2)
        return
    figures = ("version", "backlog", "hr10", "s/window", "replica MB", "stored MB")
    table = new_table("track", "state", *figures, right=figures)
    for row in rows:
        table.add_row(
            row["track"],
            row["state"],
            *(_shown(row[name]) for name in ("version", "backlog", "hr10")),
            _shown(row["processor_per_window_s"]),
            _shown(row["replica_bytes"], 1e6),
            _shown(row["stored_bytes"], 1e6),
        )
    note = (
        "hr10: HR@10 of the version on the window after it, before training; more is better. "
        "s/window: seconds of processor time that the trainer's process takes for a window, of a "
        "frozen track for scoring alone. "
        "replica MB: memory of the live version and the spare one in each replica, beside up to "
        f"serving.cache_mb ({settings.serving.cache_mb} MiB) of users' histories. stored MB: in "
        "the weight store. Less is better for these and for backlog, the windows that wait."
    )
    console = Terminal()
    console.print(described("Tracks", table, note))
    for line in filter(None, map(_about, rows)):
        console.print(line)


def _about(row: Mapping[str, Any]) -> str:
    """In what a track differs, and what is wrong with it; empty where there is nothing to say."""
    said = [f"from {row['origin']}"] if row["origin"] else []
    said += [f"with {name}={value}" for name, value in row["tuning"].items()]
    if row["learns_from"]:
        said.append(f"learns from users of {row['learns_from']} alone")
    if row["failed"]:
        said.append(f"stands still: {row['failed']}")
    return f"{row['track']}: {', '.join(said)}" if said else ""


def replica_bytes(store: TrainerStore) -> int | None:
    """Memory that the current version takes in a replica, which also has a spare one of its size;
    ``None`` where there is none, or it cannot be read."""
    try:
        pointer = store.pointer()
        if pointer is None:
            return None
        manifest = store.manifest(pointer.version)
    except WeightsError:
        return None
    names = manifest.replica_files
    return 2 * sum(file.bytes for file in manifest.files if file.name in names)


def _row(
    tracks: FsspecTracks, name: str, track: Track | None, reports: RunReports, now_ms: int
) -> dict[str, Any]:
    store = tracks.store(name)
    try:
        pointer = store.pointer()
        manifest = None if pointer is None else store.manifest(pointer.version)
    except EverfreshError as error:
        pointer, manifest, unreadable = None, None, str(error)
    else:
        unreadable = ""
    own = track.tuning if track else {}
    kind, component = ("trainer", "trainer") if track is None else ("track", f"track-{name}")
    said: dict[str, Any] = {}
    for status in reports.components(kind, now_ms):
        if status.component == component:
            said = status.figures
    return {
        "track": name,
        "state": "live" if track is None else track.state,
        "origin": manifest.origin if track is None and manifest else track.origin if track else "",
        "learns_from": track.audience.experiment if track and track.audience else "",
        "tuning": dict(own if manifest is None else manifest.tuning),
        "version": None if pointer is None else pointer.version,
        "epoch": None if pointer is None else pointer.epoch,
        **{figure: said.get(figure) for figure in _FIGURES},
        "failed": unreadable or said.get("failed") or "",
        "replica_bytes": replica_bytes(store),
        "stored_bytes": tracks.stored_bytes(name),
        "live_on": _live_on(reports, name, manifest.version if manifest else None, now_ms),
    }


def _live_on(reports: RunReports, name: str, version: int | None, now_ms: int) -> int:
    """How many replicas answer with that version."""
    live = 0
    for status in reports.components("replica", now_ms):
        figures = status.figures
        if name != DEFAULT:
            tracks = figures.get("tracks")
            figures = tracks.get(name, {}) if isinstance(tracks, dict) else {}
        live += version is not None and figures.get("version") == version
    return live


def _reports(settings: Settings) -> RunReports:
    """What the run reports; nothing where none is up, since the weight store is enough for most."""
    reports = RunReports(settings.serving.replica_range.least)
    try:
        settings = with_brokers(settings)
        with RecordTail(settings.kafka.brokers, settings.kafka.topic_prefix) as tail:
            for record in tail.read_to_end():
                if isinstance(record, ComponentStatus):
                    reports.status(record)
    except (RunError, Unreachable):
        pass
    return reports


def _shown(value: Any, per: float = 1.0) -> str:
    if value is None:
        return MISSING
    if isinstance(value, int) and per == 1.0:
        return f"{value:,}"
    return f"{value / per:,.3g}" if value / per < 100 else f"{value / per:,.0f}"
