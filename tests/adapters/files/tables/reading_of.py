"""Reads a table as a command would, with the clock at a given time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.opening import open_events
from everfresh.adapters.files.tables.mapping import Reading, mapping_of
from everfresh.contracts.event import Event
from everfresh.contracts.settings import EventSettings

NOW_MS = 1_714_000_000_000


def read(path: Path, *, form: str = "", tolerate: float = 0.0, **options: Any) -> list[Event]:
    """All events of a file; rejected rows go to ``rejects.jsonl`` beside it."""
    folder = path.parent
    reading = Reading(
        form,
        mapping_of(None, options),
        tolerate,
        str(folder / "rejects.jsonl"),
        str(folder / ".scratch"),
    )
    return list(open_events(path, reading, event_check(EventSettings(), NOW_MS)).events)


def rejected(path: Path) -> list[tuple[int, str]]:
    """Line or row, and reason, of each row that was rejected."""
    lines = (path.parent / "rejects.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row.get("line", row.get("row")), row["reason"]) for row in rows]


def short(events: list[Event]) -> list[tuple[object, ...]]:
    """User, item and time of each."""
    return [(event.user_id, event.item_id, event.time) for event in events]
