"""Where Prometheus finds this run's processes: one file per open metrics endpoint.

``<home>/run/metrics/COMPONENT-PID.json`` has the form of ``file_sd_configs``. So a scraper finds
all of them, on whatever ports, with one line: ``files: [<home>/run/metrics/*.json]``.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from everfresh.adapters.machine.disk import naming


class ScrapeTarget(msgspec.Struct, frozen=True):
    """One open endpoint: ``address`` is ``host:port``, the rest are the labels of its series."""

    address: str
    component: str
    kind: str


class _Group(msgspec.Struct):
    """As ``file_sd_configs`` wants it."""

    targets: list[str]
    labels: dict[str, str]


def write_target(home: Path, component: str, kind: str, address: str) -> Path:
    """Record where this process is scraped, ``host:port``. The caller removes the file.

    Files of killed processes go: that of this name, and those of this kind whose process is not
    there any more. Replicas have names of their own, so nobody else would take theirs away.
    """
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.json"):
        if stale.stem.rpartition("-")[0] == component or _was_killed(stale, kind):
            stale.unlink(missing_ok=True)
    path = folder / f"{component}-{os.getpid()}.json"
    group = _Group([address], {"component": component, "kind": kind})
    draft = path.with_suffix(".new")
    with naming(draft):
        draft.write_bytes(msgspec.json.encode([group]))
    draft.replace(path)
    return path


def read_targets(home: Path) -> list[ScrapeTarget]:
    """All open endpoints of the run, by name. A file that is not one of ours is passed over."""
    return sorted(
        (target for file in _folder(home).glob("*.json") for target in _targets(file)),
        key=lambda target: target.component,
    )


def remove_targets(home: Path) -> None:
    """Remove the files that an earlier run left."""
    for stale in _folder(home).glob("*.json"):
        stale.unlink(missing_ok=True)


def _targets(file: Path) -> list[ScrapeTarget]:
    try:
        groups = msgspec.json.decode(file.read_bytes(), type=list[_Group])
    except (OSError, msgspec.DecodeError):
        return []
    return [
        ScrapeTarget(address, group.labels.get("component", ""), group.labels.get("kind", ""))
        for group in groups
        for address in group.targets
    ]


def _was_killed(file: Path, kind: str) -> bool:
    """Only of one's own kind: in a pod, other kinds may have process ids of their own."""
    if not any(target.kind == kind for target in _targets(file)):
        return False
    with contextlib.suppress(ValueError, OverflowError, PermissionError):
        try:
            os.kill(int(file.stem.rpartition("-")[2]), 0)
        except ProcessLookupError:
            return True
    return False


def _folder(home: Path) -> Path:
    return home.resolve() / "run" / "metrics"
