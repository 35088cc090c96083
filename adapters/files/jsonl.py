"""Reads events as JSON lines, with the fields of :class:`everfresh.contracts.event.Event`.

The file's order is the order in time. ``id`` and ``time`` may be missing. The time is then that of
the line before (0 for the first line). The id is made from the event:

- A line with a time is known by all its fields, and by how often that time has had the same before.
  So the event has the same id in every file.
- A line without a time is known by all lines up to it. So a file has the same ids each time, also
  when lines have been added at its end; two files have different ids from the first line on in
  which they differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from everfresh.adapters.files.checks import EventCheck
from everfresh.adapters.files.event_ids import ContentIds
from everfresh.adapters.files.rows import parse_rows
from everfresh.contracts.event import Event, ItemId, UserId

_EXPECTED = "a JSON object with at least type, user_id and item_id"


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    user_id: UserId
    item_id: ItemId
    id: str | None = None
    time: int | None = None
    value: float | None = None
    request_id: str | None = None
    attributes: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Line)


class JsonLines:
    """The events of one file, read again at each iteration and never whole in memory.

    The constructor checks every line: ``DataFileError`` at the first that is not an event, or that
    ``check`` refuses.
    """

    def __init__(self, path: Path, check: EventCheck) -> None:
        self._path = path
        self._check = check
        self._length = sum(1 for _ in self)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Event]:
        ids, time = _Ids(), 0

        def parse(text: str) -> Event:
            nonlocal time
            line = _DECODER.decode(text)
            time = time if line.time is None else line.time
            event = Event(
                id=line.id or "",
                type=line.type,
                time=time,
                user_id=line.user_id,
                item_id=line.item_id,
                value=line.value,
                request_id=line.request_id,
                attributes=line.attributes,
            )
            made = ids.of(text, event, timed=line.time is not None)
            if line.id is None:
                event = msgspec.structs.replace(event, id=made)
            self._check(event)
            return event

        return parse_rows(self._path, (), _EXPECTED, parse)


class _Ids:
    """The ids of one file's events, asked for line by line from the first."""

    def __init__(self) -> None:
        self._lines = hashlib.sha256()
        self._contents = ContentIds()

    def of(self, text: str, event: Event, *, timed: bool) -> str:
        """The id that the event of this line gets, if it has none."""
        self._lines.update(text.encode() + b"\n")
        if not timed:
            return f"jsonl:{self._lines.hexdigest()[:16]}"
        return self._contents.of(event)
