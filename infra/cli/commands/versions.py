"""``everfresh versions``: where each comes from, how it did, and what became of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.weights.signing import Keys
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import CorruptVersion, RunError, Unreachable, VersionNotFound
from everfresh.contracts.manifest import Pointer, Rejected, WeightManifest
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands.replay import joined
from everfresh.infra.cli.views.life import UNKNOWN, lives
from everfresh.infra.cli.views.live import figure, seconds

CURRENT, ROLLED_BACK, NOT_LIVE = "current", "rolled back", "never live"
_SCORES = ("live", "frozen", "popularity", "markov")


def run_versions(settings: Settings, *, as_json: bool) -> None:
    """Print what the weight store holds; works while a run is up and after it."""
    store = FsspecWeightStore(settings.weights_url, keys=Keys.of(settings.weights))
    manifests, damaged = _read(store)
    rows, rejected = describe_versions(manifests, store.pointer()), store.rejected()
    known = _lives(settings)
    rows = [{**row, **known.get(row["version"], UNKNOWN)} for row in rows]
    if as_json:
        found = {"versions": rows, "damaged": damaged, "rejected": msgspec.to_builtins(rejected)}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    console = Console(highlight=False)
    if not rows:
        console.print(f"no version in {settings.weights_url} yet")
    else:
        console.print(_table(rows))
    for line in damaged:
        console.print(line, markup=False)
    if rejected:
        console.print(_rejected(rejected))


def _read(store: FsspecWeightStore) -> tuple[list[WeightManifest], list[str]]:
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
    before that was trained, so the newest has none yet (``None``).
    """
    by_version = {one.version: one for one in manifests}
    line = _line(by_version, pointer)
    left = _left(line, pointer)
    after = {one.parent: one for one in manifests if one.parent is not None}
    after |= {one.parent: one for one in line if one.parent is not None}
    known = {one.version for one in line}
    return [
        {
            "version": one.version,
            "parent": one.parent,
            "window": one.label,
            "made_ms": one.created_ms,
            "events": one.events,
            "items": one.items,
            **{
                f"{metric}_{name}": _score(after.get(one.version), metric, name)
                for metric in ("hr10", "ndcg10")
                for name in _SCORES
            },
            "bytes": sum(file.bytes for file in one.stored or one.files),
            "delta_of": one.delta_of if one.depth else None,
            "state": _state(one.version, pointer, known, left),
        }
        for one in manifests
    ]


def _line(
    by_version: Mapping[int, WeightManifest], pointer: Pointer | None
) -> list[WeightManifest]:
    """The current version and its ancestors, as far back as they are kept."""
    found: list[WeightManifest] = []
    at = by_version.get(pointer.version) if pointer else None
    while at is not None:
        found.append(at)
        at = None if at.parent is None else by_version.get(at.parent)
    return found


def _left(line: Iterable[WeightManifest], pointer: Pointer | None) -> set[int]:
    """Versions that a rollback has turned away from."""
    left: set[int] = set()
    for one in line:
        left.update(range((one.parent or 0) + 1, one.left + 1))
    if pointer is not None:
        left.update(range(pointer.version + 1, pointer.left + 1))
    return left


def _state(version: int, pointer: Pointer | None, line: set[int], left: set[int]) -> str:
    if pointer is not None and version == pointer.version:
        return CURRENT
    if version in left:
        return ROLLED_BACK
    oldest = min(line, default=0)
    return "" if version in line or version < oldest else NOT_LIVE


def _score(child: WeightManifest | None, metric: str, contender: str) -> float | None:
    return child.scores.get(f"{metric}_{contender}") if child else None


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    known = any(row["age_published_s"] is not None for row in rows)
    title = "versions; HR@10 on the window after each, before training on it"
    if known:
        title += "\nage: of its window's median event when published + until live on every replica"
    table = Table(title=title, title_justify="left")
    for name in ("version", "parent", "window", "made", "events", "items"):
        table.add_column(name, justify="right")
    for name in ("live", "frozen", "size", *(("age",) if known else ())):
        table.add_column(name, justify="right")
    table.add_column("state")
    for row in rows:
        kept = f"{row['bytes'] / 1e6:.1f} MB"
        table.add_row(
            str(row["version"]),
            _or_dash(row["parent"]),
            _or_dash(row["window"]),
            _moment(row["made_ms"]),
            f"{row['events']:,}",
            f"{row['items']:,}",
            figure(row["hr10_live"]),
            figure(row["hr10_frozen"]),
            f"delta, {kept}" if row["delta_of"] else kept,
            *((_age(row),) if known else ()),
            row["state"],
            style="dim" if row["state"] in (ROLLED_BACK, NOT_LIVE) else None,
        )
    return table


def _rejected(rejected: Sequence[Rejected]) -> Table:
    table = Table(title="windows that the gate held", title_justify="left")
    for name in ("window", "parent", "events", "when", "reason"):
        table.add_column(name)
    for one in rejected:
        when = _moment(one.at_ms)
        table.add_row(str(one.label), _or_dash(one.parent), f"{one.events:,}", when, one.reason)
    return table


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _age(row: Mapping[str, Any]) -> str:
    published, after = row["age_published_s"], row["live_after_s"]
    return seconds(published) if after is None else f"{published:.2f} + {after:.2f} s"


def _moment(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000))


def _lives(settings: Settings) -> dict[int, dict[str, Any]]:
    """What the run's log knows; nothing where it is not up, as the weight store is enough."""
    try:
        settings = joined(settings)
        with RecordTail(settings.kafka.bootstrap_servers, settings.kafka.topic_prefix) as tail:
            records = tail.read_to_end()
    except (RunError, Unreachable):
        return {}
    words = [one for one in records if isinstance(one, ComponentStatus) and one.kind == "replica"]
    newest = {one.component: one for one in words}
    return lives([one for one in records if isinstance(one, WindowReport)], list(newest.values()))
