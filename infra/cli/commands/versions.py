"""``everfresh versions``: each version's parent, scores and size, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.weights.tracks import FsspecTracks, store_of
from everfresh.contracts.errors import CorruptVersion, RunError, Unreachable, VersionNotFound
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.manifest import Pointer, Rejected, WeightManifest
from everfresh.contracts.ports import TrainerStore
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.streams import write_json
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.scores import CONTENDERS
from everfresh.infra.cli.views.tables import described, new_table
from everfresh.infra.cli.views.text import MISSING, local_time, score
from everfresh.infra.cli.views.versions.version_life import UNKNOWN, lives
from everfresh.infra.cli.views.versions.window_table import window_table

CURRENT, ROLLED_BACK, NOT_LIVE = "current", "rolled back", "never live"
_COLUMNS = (
    *("version", "parent", "window", "made", "events", "items", "live", "frozen", "size"),
    *("age, s", "state"),
)
_WIDE = 120
_WIDE_ONLY = ("window", "events", "items", "frozen")
"""Columns for which narrower terminals have no room."""


def run_versions(settings: Settings, track: str = DEFAULT, *, as_json: bool) -> None:
    """Print what the weight store holds of a track; works while a run is up and after it."""
    store = store_of(FsspecTracks(settings), track)
    manifests, damaged = _read(store)
    rows, rejected = describe_versions(manifests, store.pointer()), store.rejected()
    known, left_out = _lives(settings, track or DEFAULT)
    rows = [{**row, **known.get(row["version"], UNKNOWN)} for row in rows]
    if as_json:
        write_json({"versions": rows, "damaged": damaged, "rejected": rejected}, indent=2)
        return
    console = Terminal()
    if not rows:
        console.print(f"no version is in {settings.weights_url} yet")
    else:
        console.print(_table(rows, console.width))
        if (windows := window_table(rows)) is not None:
            console.print(windows)
    for line in damaged:
        console.print(line)
    if left_out:
        console.print(left_out)
    if rejected:
        console.print(_rejected(rejected))


def _read(store: TrainerStore) -> tuple[list[WeightManifest], list[str]]:
    """The manifests that can be read, and what is wrong with the others."""
    manifests: list[WeightManifest] = []
    damaged: list[str] = []
    for version in store.versions():
        try:
            manifests.append(store.manifest(version))
        except VersionNotFound:  # deleted meanwhile
            continue
        except CorruptVersion as error:
            damaged.append(str(error))
    return manifests, damaged


def describe_versions(
    manifests: Sequence[WeightManifest], pointer: Pointer | None
) -> list[dict[str, Any]]:
    """One flat row per version, oldest first.

    ``hr10_live`` and the like are those of the version itself, measured on the window after it
    before that was trained, so the newest has none yet (``None``). ``measures`` are of the
    window that it learnt.
    """
    by_version = {manifest.version: manifest for manifest in manifests}
    lineage = _lineage(by_version, pointer)
    turned_from = _turned_away_from(lineage, pointer)
    children = {child.parent: child for child in manifests if child.parent is not None}
    children |= {child.parent: child for child in lineage if child.parent is not None}
    ancestors = {manifest.version for manifest in lineage}
    return [
        {
            "version": manifest.version,
            "parent": manifest.parent,
            "window": manifest.label,
            "made_ms": manifest.created_ms,
            "events": manifest.events,
            "items": manifest.items,
            **{
                f"{metric}_{name}": _score(children.get(manifest.version), metric, name)
                for metric in ("hr10", "ndcg10")
                for name in CONTENDERS
            },
            "bytes": sum(file.bytes for file in manifest.stored or manifest.files),
            "delta_of": manifest.delta_of if manifest.depth else None,
            "origin": manifest.origin,
            "measures": manifest.measures,
            "state": _state(manifest.version, pointer, ancestors, turned_from),
        }
        for manifest in manifests
    ]


def _lineage(
    by_version: Mapping[int, WeightManifest], pointer: Pointer | None
) -> list[WeightManifest]:
    """The current version and its ancestors, as far back as they are kept."""
    lineage: list[WeightManifest] = []
    manifest = by_version.get(pointer.version) if pointer else None
    while manifest is not None:
        lineage.append(manifest)
        manifest = None if manifest.parent is None else by_version.get(manifest.parent)
    return lineage


def _turned_away_from(lineage: Iterable[WeightManifest], pointer: Pointer | None) -> set[int]:
    """Versions that a rollback has turned away from."""
    versions: set[int] = set()
    for manifest in lineage:
        versions.update(range((manifest.parent or 0) + 1, manifest.left + 1))
    if pointer is not None:
        versions.update(range(pointer.version + 1, pointer.left + 1))
    return versions


def _state(version: int, pointer: Pointer | None, lineage: set[int], turned_from: set[int]) -> str:
    if pointer is not None and version == pointer.version:
        return CURRENT
    if version in turned_from:
        return ROLLED_BACK
    oldest = min(lineage, default=0)
    return "" if version in lineage or version < oldest else NOT_LIVE


def _score(child: WeightManifest | None, metric: str, contender: str) -> float | None:
    return child.scores.get(f"{metric}_{contender}") if child else None


def _table(rows: Sequence[Mapping[str, Any]], width: int) -> RenderableType:
    known = any(row["age_published_s"] is not None for row in rows)
    note = (
        "live, frozen: HR@10 of this version and of the first one on the window after it, before "
        "training on that; more is better. never live: written, and current at no time."
    )
    if known:
        note += (
            " age, s: of its window's median event when it was published, + seconds until it was "
            "live on every replica; less is better."
        )
    left_out: tuple[str, ...] = ("age, s",) if not known else ()
    if width < _WIDE:
        left_out += _WIDE_ONLY
        note += f" A terminal of {_WIDE} columns also shows {', '.join(_WIDE_ONLY)}."
    cells = [{**_cells(row), "made": _made(row["made_ms"], width)} for row in rows]
    columns = [name for name in _COLUMNS if name not in left_out]
    table = new_table(*columns, right=_COLUMNS[:-1])
    for row, cell in zip(rows, cells, strict=True):
        style = "dim" if row["state"] in (ROLLED_BACK, NOT_LIVE) else None
        table.add_row(*(cell[name] for name in columns), style=style)
    return described("Versions of the weights, oldest first", table, note)


def _made(ms: int, width: int) -> str:
    return local_time(ms) if width >= _WIDE else local_time(ms)[len("2026-") :]


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    size = f"{row['bytes'] / 1e6:.1f} MB"
    return {
        "version": str(row["version"]),
        "parent": _or_missing(row["parent"]),
        "window": _or_missing(row["window"]),
        "events": f"{row['events']:,}",
        "items": f"{row['items']:,}",
        "live": score(row["hr10_live"]),
        "frozen": score(row["hr10_frozen"]),
        "size": f"delta {size}" if row["delta_of"] else size,
        "age, s": _age(row),
        "state": f"{row['state']}, from {row['origin']}".lstrip(", ")
        if row["origin"]
        else row["state"],
    }


def _rejected(rejected: Sequence[Rejected]) -> RenderableType:
    table = new_table("window", "parent", "events", "when", "reason", right=("events",))
    for window in rejected:
        table.add_row(
            str(window.label),
            _or_missing(window.parent),
            f"{window.events:,}",
            local_time(window.at_ms),
            window.reason,
        )
    note = (
        "Their events were not learned, and the parent stayed current. The weight store keeps what "
        "was trained on them under rejected/."
    )
    return described("Windows that the gate held, oldest first", table, note)


def _or_missing(value: object) -> str:
    return MISSING if value is None else str(value)


def _age(row: Mapping[str, Any]) -> str:
    published, after = row["age_published_s"], row["live_after_s"]
    if published is None:
        return MISSING
    return f"{published:.2f}" if after is None else f"{published:.2f} + {after:.2f}"


def _lives(settings: Settings, track: str) -> tuple[dict[int, dict[str, Any]], str]:
    """What the run's log tells of each version, and a line on what is no report in it.

    Nothing where no run is up, since the weight store is enough for all else.
    """
    try:
        settings = with_brokers(settings)
        with RecordTail(settings.kafka.brokers, settings.kafka.topic_prefix) as tail:
            records, left_out = tail.read_to_end(), tail.left_out()
    except (RunError, Unreachable):
        return {}, ""
    newest = {
        status.component: status
        for status in records
        # A replica tells since when it had the default track's versions alone.
        if isinstance(status, ComponentStatus) and status.kind == "replica" and track == DEFAULT
    }
    windows = [
        report for report in records if isinstance(report, WindowReport) and report.track == track
    ]
    return lives(windows, list(newest.values())), left_out
