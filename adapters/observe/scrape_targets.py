"""Where Prometheus finds this run's processes: a file for each open metrics door.

``<home>/run/metrics/COMPONENT-PID.json`` has the form of ``file_sd_configs``, so a scraper finds
all of them, free ports too, with one line: ``files: [<home>/run/metrics/*.json]``.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


def write_target(home: Path, component: str, kind: str, address: str) -> Path:
    """Say where this process is scraped, ``host:port``; the file is the caller's to remove."""
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{component}-*.json"):
        # Of a process of this name that was killed; replicas, whose names differ, go at `up`.
        left.unlink(missing_ok=True)
    path = folder / f"{component}-{os.getpid()}.json"
    group = {"targets": [address], "labels": {"component": component, "kind": kind}}
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode([group]))
    draft.replace(path)
    return path


def forget_targets(home: Path) -> None:
    """Remove what an earlier run left."""
    for left in _folder(home).glob("*.json"):
        left.unlink(missing_ok=True)


def _folder(home: Path) -> Path:
    return home.resolve() / "run" / "metrics"
