"""JSON lines of any shape: a JSON object is a row, its members are the columns, dots go deeper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from everfresh.adapters.files.tables.mapping import Mapping
from everfresh.adapters.files.tables.recognition import open_text
from everfresh.adapters.files.tables.table import Row, Stamp
from everfresh.contracts.errors import DataFileError, EventRejected
from everfresh.contracts.foreign import UNREADABLE

_LOOKED_AT = 100


class JsonTable:
    """One file. Its columns are those of its first 100 objects; later ones may have others.

    ``DataFileError`` where none of the first 100 lines is an object.
    """

    place = "line"
    closed = False
    typed = True
    headers_left_out = 0

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self.stamps: dict[str, Stamp] = {}
        self._path = path
        self._encoding = mapping.encoding
        names: dict[str, None] = {}
        broken = None
        for line, fields in islice(self.objects(), _LOOKED_AT):
            if isinstance(fields, EventRejected):
                broken = broken or (line, fields)
            else:
                names.update(dict.fromkeys(_paths(fields)))
        if broken and not names:
            raise DataFileError(f"{path} line {broken[0]}: {broken[1].detail}; check the format")
        self.columns = list(names)

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """The members of each object that are asked for, and its line."""
        nested = any("." in name for name in wanted)
        for line, fields in self.objects():
            if isinstance(fields, EventRejected):
                yield line, fields
            elif nested:
                yield line, [member(fields, name) for name in wanted]
            else:
                yield line, [fields.get(name) for name in wanted]

    def objects(self) -> Iterator[tuple[int, dict[str, Any] | EventRejected]]:
        """Each object whole, and its line."""
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        with open_text(self._path, self._encoding) as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    yield number, decode(line)
                except (*UNREADABLE, UnicodeError) as error:
                    why = "not UTF-8; name --encoding" if _foreign(line) else error
                    yield number, EventRejected("not_json", f"expected a JSON object: {why}")


def member(fields: Any, name: str) -> Any:
    """The member of that name, or else what its dots lead to; ``None`` where nothing is there."""
    if name in fields:
        return fields[name]
    for step in name.split("."):
        if not isinstance(fields, dict):
            return None
        fields = fields.get(step)
    return fields


def _paths(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in value)


def _foreign(line: str) -> bool:
    return any("\udc80" <= sign <= "\udcff" for sign in line)
