"""Where Prometheus finds this run's processes: one file per open metrics endpoint.

``<home>/run/metrics/COMPONENT-PID.json`` has the form of ``file_sd_configs``. So a scraper finds
all of them, on whatever ports, with one line: ``files: [<home>/run/metrics/*.json]``.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from everfresh.adapters.machine.disk import naming


def write_target(home: Path, component: str, kind: str, address: str) -> Path:
    """Record where this process is scraped, ``host:port``. The caller removes the file."""
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{component}-*.json"):
        # Of a killed process of this name. Replicas have names of their own; `up` removes those.
        stale.unlink(missing_ok=True)
    path = folder / f"{component}-{os.getpid()}.json"
    group = {"targets": [address], "labels": {"component": component, "kind": kind}}
    draft = path.with_suffix(".new")
    with naming(draft):
        draft.write_bytes(msgspec.json.encode([group]))
    draft.replace(path)
    return path


def remove_targets(home: Path) -> None:
    """Remove the files that an earlier run left."""
    for stale in _folder(home).glob("*.json"):
        stale.unlink(missing_ok=True)


def _folder(home: Path) -> Path:
    return home.resolve() / "run" / "metrics"
