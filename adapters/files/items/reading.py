"""A catalogue's files as items: opened, guessed, read row by row; what is wrong is rejected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from everfresh.adapters.files.items.columns import (
    ItemColumns,
    attribute_columns,
    attribute_names,
    guess_columns,
    guess_id_and_times,
    guess_read,
    read_available,
    read_embedding,
    time_reader,
)
from everfresh.adapters.files.tables.cells import NO_UTF8, Read, id_reader, is_absent
from everfresh.adapters.files.tables.folders import Part, parts_of
from everfresh.adapters.files.tables.json_objects import JsonTable
from everfresh.adapters.files.tables.mapping import Mapping as Dialect
from everfresh.adapters.files.tables.reading import OnRows, form_of, open_table
from everfresh.adapters.files.tables.rejects import Rejects
from everfresh.adapters.files.tables.table import Row, Table
from everfresh.contracts.errors import DataFileError, EventRejected, ForeignRecord
from everfresh.contracts.event import ItemId
from everfresh.contracts.foreign import printable
from everfresh.contracts.items.record import Item, encode_item

_SAMPLE = 1000
_SAID_EVERY = 10_000
_OWN = frozenset(Item.__struct_fields__)
_Fields = dict[str, Any]


@dataclass(frozen=True)
class ItemFiles:
    """What is to be read, with all guesses made; ``own`` are files of records as the topic has
    them, whose objects have their attributes in ``attributes``."""

    parts: list[tuple[Part, str]]
    left_out: list[Path]
    dialect: Dialect
    columns: ItemColumns
    own: bool
    reads: dict[str, Read]
    """How the cells of each attribute that the first rows have are read."""
    guesses: list[str]


@dataclass
class ItemCounts:
    """What a reading has met so far."""

    rejects: Rejects
    rows: int = 0
    ids: dict[ItemId, int] = field(default_factory=dict)
    """The line or row of each id."""


def find_items(path: Path, form: str, dialect: Dialect, asked: ItemColumns) -> ItemFiles:
    """Look at the files and at the first rows. ``SettingsError`` where it has to be asked."""
    parts, left_out = parts_of(path)
    forms = [(part, of) for part in parts if (of := form_of(part.path, form))]
    for part, of in forms:
        table = open_table(part, of, dialect)
        sample = [row for _, row in islice(_rows(table, asked), _SAMPLE) if isinstance(row, dict)]
        if not sample:
            continue
        if isinstance(table, JsonTable) and asked == ItemColumns() and _is_own(sample):
            return ItemFiles(forms, left_out, dialect, asked, True, {}, [])
        named, notes = guess_columns(_names(table), asked, str(part.path), closed=table.closed)
        columns, more = guess_id_and_times(
            sample, named, str(part.path), table.stamps, typed=table.typed
        )
        kept = attribute_columns(_names(table), columns)
        attribute_names(kept, str(part.path))
        reads = {
            name: guess_read(
                [row.get(name) for row in sample],
                name,
                columns,
                table.stamps.get(name),
                typed=table.typed,
            )
            for name in kept
        }
        return ItemFiles(forms, left_out, dialect, columns, False, reads, notes + more)
    raise DataFileError(f"{path} has no row of an item; expected rows with a header, or objects")


def read_items(files: ItemFiles, counts: ItemCounts, on_rows: OnRows) -> Iterator[Item]:
    """The items of all files, in the order of files and rows; ``counts`` goes along.

    An id that comes again is rejected, since nobody could say which row counts. ``DataFileError``
    for a file that cannot be read to its end; ``Rejects`` says what else.
    """
    for part, form in files.parts:
        table = open_table(part, form, files.dialect)
        make = _own_item if files.own else _RowItems(table, files, str(part.path))
        for number, row in _rows(table, files.columns):
            counts.rows += 1
            if counts.rows % _SAID_EVERY == 0:
                on_rows(counts.rows)
            try:
                if isinstance(row, EventRejected):
                    raise row
                item = make(row)
                _require_first(item.id, number, table.place, counts)
            except EventRejected as error:
                found = None if isinstance(row, EventRejected) else row
                counts.rejects.add(part.path, table.place, number, error, found)
            else:
                yield item
    on_rows(counts.rows)


def _require_first(item: ItemId, number: int, place: str, counts: ItemCounts) -> None:
    first = counts.ids.get(item)
    if first is not None:
        raise EventRejected(
            "twice", f"the id {item!r} stands in {place} {first} already; an item has one row"
        )
    counts.ids[item] = number


def _rows(table: Table, columns: ItemColumns) -> Iterator[tuple[int, _Fields | EventRejected]]:
    """Each row with all of its fields by name, those in nested objects by dotted names."""
    if isinstance(table, JsonTable):
        for number, fields in table.objects():
            yield number, fields
        return
    names = _names(table)
    if columns.id in table.columns and columns.attributes:
        roles = (columns.published, columns.expires, columns.available, columns.embedding)
        wanted = {columns.id, *columns.attributes, *roles}
        names = [name for name in table.columns if name in wanted]
    cells: Row
    for cells in table.rows(names):
        number, row = cells
        yield number, row if isinstance(row, EventRejected) else dict(zip(names, row, strict=True))


def _names(table: Table) -> list[str]:
    """The columns without those that only hold others."""
    holders = {name.rpartition(".")[0] for name in table.columns}
    return [name for name in table.columns if name not in holders]


def _is_own(rows: Sequence[Mapping[str, Any]]) -> bool:
    return all(
        row.keys() <= _OWN and isinstance(row.get("attributes", {}), dict) for row in rows
    ) and any("attributes" in row for row in rows)


def _own_item(row: _Fields) -> Item:
    return _converted(row)


class _RowItems:
    """Makes items of the rows of one file."""

    def __init__(self, table: Table, files: ItemFiles, of: str) -> None:
        self._columns, self._of = files.columns, of
        self._closed, self._typed = table.closed, table.typed
        self._id = id_reader("id", files.columns.id_kind)
        self._others: dict[str, tuple[str, Read]] = {}
        for role, read in (("available", read_available), ("embedding", read_embedding)):
            if column := getattr(files.columns, role):
                self._others[role] = column, read
        for role in ("published", "expires"):
            if column := getattr(files.columns, role):
                stamp = table.stamps.get(column)
                self._others[role] = column, time_reader(files.columns, stamp)
        self._taken = {files.columns.id, *(column for column, _ in self._others.values())}
        self._only = set(files.columns.attributes)
        # Objects may have further members in later rows; those of a closed table are all known.
        self._reads = {
            name: guess_read([], name, files.columns, stamp, typed=self._typed)
            if (stamp := table.stamps.get(name))
            else read
            for name, read in files.reads.items()
            if not table.closed or name in table.columns
        }
        self._names = attribute_names(list(self._reads), of)

    def __call__(self, row: _Fields) -> Item:
        """``EventRejected`` where it is none."""
        if not self._closed:
            row = dict(_flat(row))
        said = {role: read(row.get(column)) for role, (column, read) in self._others.items()}
        said["id"] = self._id(row.get(self._columns.id))
        attributes = said["attributes"] = _Fields()
        for name, cell in row.items():
            if name in self._taken or (self._only and name not in self._only) or is_absent(cell):
                continue
            if name not in self._reads:
                self._meet(name, cell)
            value = self._reads[name](cell)
            if value is not None:
                attributes[self._names[name]] = value
        return _converted(said)

    def _meet(self, name: str, cell: Any) -> None:
        self._reads[name] = guess_read([cell], name, self._columns, None, typed=self._typed)
        self._names = attribute_names([*self._names, name], self._of)


def _flat(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _converted(said: _Fields) -> Item:
    try:
        item = msgspec.convert(said, Item)
        encode_item(item)
    except UnicodeEncodeError:
        raise EventRejected("not_text", f"{_place(said)}{NO_UTF8}") from None
    except (msgspec.ValidationError, ForeignRecord) as error:
        raise EventRejected("bad_item", f"{_place(said)}{printable(str(error))}") from None
    return item


def _place(said: _Fields) -> str:
    """The attribute that is wrong by itself; the library does not name it."""
    attributes = said.get("attributes")
    for name, value in attributes.items() if isinstance(attributes, dict) else ():
        try:
            encode_item(msgspec.convert({"id": 0, "attributes": {name: value}}, Item))
        except (msgspec.ValidationError, ForeignRecord, UnicodeEncodeError):
            return f"{printable(str(name))[:60]}: "
    return ""
