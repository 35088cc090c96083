"""Which columns of a catalogue are what: named, or guessed where the table leaves no doubt."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from everfresh.adapters.files.tables.cells import (
    NO_ZONE,
    Read,
    is_absent,
    is_nothing,
    iso_time,
    numeric_time,
    stamp_time,
)
from everfresh.adapters.files.tables.guessing import (
    guess_kind,
    guess_unit,
    plain_title,
    require_kind,
)
from everfresh.adapters.files.tables.mapping import Kind, TimeUnit, zone_of
from everfresh.adapters.files.tables.mapping import Mapping as TableMapping
from everfresh.adapters.files.tables.table import Stamp
from everfresh.contracts.errors import EventRejected, SettingsError
from everfresh.contracts.items.record import is_name

ROLES = ("published", "expires", "available", "embedding")
_TITLES = [
    "itemid",
    "item",
    "iid",
    "productid",
    "movieid",
    "articleid",
    "contentid",
    "videoid",
    "trackid",
    "asin",
    "sku",
]
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ZEROS = re.compile(r"[+-]?0\d.*")
_TRUE = frozenset({"true", "yes", "y", "t", "1"})
_FALSE = frozenset({"false", "no", "n", "f", "0"})
_BOOLEANS = frozenset({"true", "false"})


class ItemColumns(msgspec.Struct, frozen=True):
    """What each column is. Empty: guessed, or left out of the items.

    ``attributes`` are the only columns to keep as attributes; empty keeps all others. Those of
    ``text`` stay text though they look like numbers. ``lists`` maps columns to the sign between
    the values of a cell. Times have one ``time_unit``, and ``time_zone`` where they name none.
    """

    id: str = ""
    published: str = ""
    expires: str = ""
    available: str = ""
    embedding: str = ""
    attributes: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    lists: dict[str, str] = {}
    id_kind: Kind = ""
    time_unit: TimeUnit = ""
    time_zone: str = ""


def guess_columns(
    names: Sequence[str], asked: ItemColumns, of: str, *, closed: bool
) -> tuple[ItemColumns, list[str]]:
    """With the id, and the columns whose titles are those of an item's own fields.

    ``SettingsError`` where no column or several may be the id, or a named one is not there.
    """
    listed = ", ".join(map(repr, names[:12])) + (" …" if len(names) > 12 else "")
    named = [getattr(asked, role) for role in ("id", *ROLES) if getattr(asked, role)]
    for column in [*named, *asked.attributes, *asked.text, *asked.lists]:
        if column not in names and (closed or column == asked.id):
            raise SettingsError(f"{of} has no column {column!r} (its columns: {listed})")
    found: dict[str, str] = {}
    if not asked.id:
        fits = [name for name in names if plain_title(name) in _TITLES] or [
            name for name in names if plain_title(name) == "id"
        ]
        if len(fits) != 1:
            what = "several columns that may be the id" if fits else "no column titled as an id"
            shown = ", ".join(map(repr, fits)) if fits else f"its columns: {listed}"
            raise SettingsError(f"{of} has {what} ({shown}); name one with --id")
        found["id"] = fits[0]
    for role in ROLES:
        fits = [name for name in names if plain_title(name) == role and name not in named]
        if not getattr(asked, role) and fits:
            found[role] = role if role in fits else fits[0]
    notes = [f"--{role} {column}" for role, column in found.items()]
    return msgspec.structs.replace(asked, **found), notes


def attribute_columns(names: Sequence[str], columns: ItemColumns) -> list[str]:
    """The columns that become attributes: those that were asked for, or all that are left."""
    taken = {columns.id, *(getattr(columns, role) for role in ROLES)}
    return list(columns.attributes) or [name for name in names if name not in taken]


def attribute_names(names: Sequence[str], of: str) -> dict[str, str]:
    """What each column's attribute is called: as the column, with ``_`` for signs that no name has.

    ``SettingsError`` where two would get one name.
    """
    made: dict[str, str] = {}
    for name in names:
        called = name if is_name(name) else re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        called = called if is_name(called) else f"_{called}"[:64]
        if called in made.values():
            other = next(column for column, its in made.items() if its == called)
            raise SettingsError(
                f"{of}: the columns {other!r} and {name!r} would be one attribute {called!r}; keep "
                "one of them with --attributes, or rename one"
            )
        made[name] = called
    return made


def guess_id_and_times(
    rows: Sequence[Mapping[str, Any]],
    columns: ItemColumns,
    of: str,
    stamps: Mapping[str, Stamp],
    *,
    typed: bool,
) -> tuple[ItemColumns, list[str]]:
    """With the kind of the id and the unit of times, from the first rows."""
    used = {*attribute_columns(list(stamps), columns), columns.published, columns.expires}
    for name in sorted(used & stamps.keys()):
        if not (stamps[name].zoned or columns.time_zone):
            raise SettingsError(
                f"{of}: the times of {name!r} have no zone (a timestamp without one); {NO_ZONE}"
            )
    notes, found = [], dict[str, Any]()
    require_kind("id", columns.id_kind, of, typed=typed)
    if not columns.id_kind:
        found["id_kind"] = guess_kind("id", [row.get(columns.id) for row in rows], of, typed=typed)
        notes.append(f"--id-kind {found['id_kind']}")
    timed = [name for name in (columns.published, columns.expires) if name and name not in stamps]
    cells = [row.get(name) for name in timed for row in rows]
    cells = [cell for cell in cells if not is_nothing(cell)]
    if cells and not columns.time_unit:
        mapping = TableMapping(time_zone=columns.time_zone)
        found["time_unit"] = guess_unit(cells, mapping, of, comma="write a point there")
        notes.append(f"--time-unit {found['time_unit']}")
    return msgspec.structs.replace(columns, **found), notes


def guess_read(
    cells: Sequence[Any], name: str, columns: ItemColumns, stamp: Stamp | None, *, typed: bool
) -> Read:
    """How the cells of an attribute become its values, from those of the first rows."""
    if stamp is not None:
        return _stamp(stamp, columns)
    if name in columns.lists:
        sign = columns.lists[name]
        return lambda cell: _listed(cell, sign)
    if name in columns.text or typed:
        return _as_text if name in columns.text else _plain
    words = [cell for cell in cells if not is_nothing(cell)]
    if words and all(map(_is_number, words)):
        return lambda cell: _number(cell, name)
    logical = words and all(word.lower() in _BOOLEANS for word in words)
    return (lambda cell: _boolean(cell, name)) if logical else _plain


def time_reader(columns: ItemColumns, stamp: Stamp | None) -> Read:
    """A time, or ``None`` for nothing."""
    if stamp is not None:
        return _stamp(stamp, columns)
    if columns.time_unit == "iso":
        return _optional(iso_time(_zone(columns)))
    return _optional(numeric_time(columns.time_unit or "ms"))


def read_available(cell: Any) -> bool:
    """Nothing is yes."""
    return True if is_nothing(cell) else _boolean(cell, "available")


def read_embedding(cell: Any) -> Any:
    """A list, or its JSON in a text; ``None`` for nothing."""
    if isinstance(cell, str) and not is_nothing(cell):
        try:
            return msgspec.json.decode(cell)
        except msgspec.DecodeError as error:
            raise EventRejected("bad_item", f"embedding is a list of numbers: {error}") from None
    return None if is_nothing(cell) else cell


def _zone(columns: ItemColumns) -> Any:
    return zone_of(columns.time_zone) if columns.time_zone else None


def _stamp(stamp: Stamp, columns: ItemColumns) -> Read:
    return _optional(stamp_time(None if stamp.zoned else _zone(columns)))


def _optional(read: Callable[[Any], Any]) -> Read:
    return lambda cell: None if is_nothing(cell) else read(cell)


def _plain(cell: Any) -> Any:
    if isinstance(cell, list | tuple):
        return [value for value in map(_plain, cell) if value is not None]
    if is_absent(cell):
        return None
    if isinstance(cell, bytes):
        return cell.decode(errors="surrogateescape")
    return cell if isinstance(cell, str | bool | int | float | dict) else _decimal(cell)


def _decimal(cell: Any) -> Any:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return str(cell)
    return number if math.isfinite(number) else None


def _as_text(cell: Any) -> Any:
    cell = _plain(cell)
    if isinstance(cell, list):
        return [str(value) for value in cell]
    return cell if cell is None or isinstance(cell, str) else str(cell)


def _listed(cell: Any, sign: str) -> Any:
    if not isinstance(cell, str) or is_absent(cell):
        return _plain(cell)
    return [part for part in map(str.strip, cell.split(sign)) if part]


def _is_number(word: str) -> bool:
    word = word.strip()
    return bool(_NUMBER.fullmatch(word)) and not _ZEROS.fullmatch(word)


def _number(cell: Any, name: str) -> Any:
    if is_nothing(cell):
        return None
    word = cell.strip() if isinstance(cell, str) else ""
    if not _is_number(word):
        raise EventRejected(
            "bad_item",
            f"{name} is a number in the first rows, found {cell!r:.60}; if it is text, say "
            f"--text {name}",
        )
    return int(word) if word.lstrip("+-").isdecimal() else float(word)


def _boolean(cell: Any, name: str) -> Any:
    if is_nothing(cell):
        return None
    word = str(cell).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise EventRejected("bad_item", f"{name} is true or false, found {cell!r:.60}")
