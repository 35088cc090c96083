"""Reads events as JSON lines, with the fields of :class:`everfresh.contracts.event.Event`.

The file's order is the order in time. ``id`` and ``time`` may be missing. The id is then made from
the line's number and text, and the time is that of the line before (0 for the first line).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from everfresh.adapters.files.checks import EventCheck
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
        number = time = 0

        def parse(text: str) -> Event:
            nonlocal number, time
            line = _DECODER.decode(text)
            number += 1
            time = time if line.time is None else line.time
            event = _event(line, text, number, time)
            self._check(event)
            return event

        return parse_rows(self._path, (), _EXPECTED, parse)


def _event(line: _Line, text: str, number: int, time: int) -> Event:
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Event(
        id=f"jsonl:{number}:{digest}" if line.id is None else line.id,
        type=line.type,
        time=time,
        user_id=line.user_id,
        item_id=line.item_id,
        value=line.value,
        request_id=line.request_id,
        attributes=line.attributes,
    )
