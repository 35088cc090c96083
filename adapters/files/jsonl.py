"""Events as JSON, one a line: the fields of :class:`everfresh.contracts.event.Event`.

The file's order is the order in time. ``id`` and ``time`` may be missing: the id then follows from
the line's number and text, and the time is that of the line before (0 for the first).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from everfresh.adapters.files.rows import parsed
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
    """The events of one file, read anew at each iteration and never held in memory as a whole.

    ``DataFileError`` at the first line that is no event: at construction, not in the middle.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._length = sum(1 for _ in parsed(path, (), _EXPECTED, _DECODER.decode))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Event]:
        time = 0
        rows = parsed(self._path, (), _EXPECTED, lambda text: (text, _DECODER.decode(text)))
        for number, (text, line) in enumerate(rows, 1):
            time = time if line.time is None else line.time
            made = hashlib.sha256(text.encode()).hexdigest()[:16]
            yield Event(
                id=line.id or f"jsonl:{number}:{made}",
                type=line.type,
                time=time,
                user_id=line.user_id,
                item_id=line.item_id,
                value=line.value,
                request_id=line.request_id,
                attributes=line.attributes,
            )
