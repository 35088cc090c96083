"""What a table leaves no doubt of: which columns are which, the unit of its times, the kind of ids.

A guess is made from the titles and the first thousand rows of the first file, and only where one
answer is possible; each is said. Where there are several or none, the user is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from everfresh.adapters.files.tables.cells import (
    NO_ZONE,
    PER_S,
    integer_id,
    is_nothing,
    parse_iso,
    pointed,
    shown,
)
from everfresh.adapters.files.tables.mapping import ATTRIBUTES, Kind, Mapping, TimeUnit
from everfresh.contracts.errors import EventRejected, SettingsError

EARLIEST_MS = 631_152_000_000
"""1990: a number that is an earlier time in a guessed unit is no time in that unit."""
_LATEST_MS = 4_102_444_800_000  # 2100

_TITLES = {
    "user": "userid user uid visitorid customerid memberid reviewerid sessionid",
    "item": "itemid item iid productid movieid articleid contentid videoid trackid asin sku",
    "time": "timestamp time ts eventtime eventtimestamp datetime unixtime unixreviewtime createdat",
    "type_column": "type event eventtype action actiontype behavior behaviortype interaction",
    "value": "rating",
    "request_id": "requestid",
}
_NEEDED = ("user", "item", "time")
_OPTIONS = {"type_column": "--type-column", "request_id": "--request-id"}
_EVENT = {"type", "user_id", "item_id"}
_STREAMED = {
    "user": "user_id",
    "item": "item_id",
    "time": "time",
    "type_column": "type",
    "value": "value",
    "request_id": "request_id",
    "id": "id",
}


def guess_columns(
    columns: Sequence[str], mapping: Mapping, of: str, *, closed: bool = True
) -> tuple[Mapping, list[str]]:
    """The mapping with the columns that it did not name, and what was guessed.

    ``of`` names the file. ``SettingsError`` where a field that an event needs has no column, or
    several, or a column that was named is not there. Where the columns are not ``closed``, one that
    an event can do without may come in a later row, and objects that have the fields of an event
    are taken as the stream has them.
    """
    mapping = _as_streamed(columns, mapping, closed=closed)
    named = {
        field: getattr(mapping, field) for field in (*_TITLES, "id") if getattr(mapping, field)
    }
    for field, column in [*named.items(), *(("attributes", name) for name in mapping.attributes)]:
        if column not in columns and (closed or field in _NEEDED):
            raise SettingsError(_absent(field, column, columns, mapping, of))
    found: dict[str, str] = {}
    taken = {*named.values(), *mapping.attributes}
    for field in _TITLES:
        if field in named or (field == "type_column" and mapping.type):
            continue
        fits = _fitting(field, [column for column in columns if column not in taken])
        if len(fits) == 1:
            found[field] = fits[0]
        elif field in _NEEDED or (fits and field == "type_column"):
            raise SettingsError(_unclear(field, fits, columns, mapping, of))
    notes = [f"{_option(field)} {column}" for field, column in found.items()]
    if set(columns) > _EVENT and "id" in columns and "id" not in named:
        found["id"] = "id"
        notes.append("--id id")
    guessed = msgspec.structs.replace(mapping, **found)
    if not (guessed.type or guessed.type_column):
        if guessed.value and plain_title(guessed.value) == "rating":
            guessed = msgspec.structs.replace(guessed, type="rating")
            notes.append("--type rating")
        else:
            raise SettingsError(
                f"{of} has no column that says what users did ({_listed(columns)}); give all "
                "events one type, such as --type view, or name the column with --type-column"
            )
    return guessed, notes


def _as_streamed(columns: Sequence[str], mapping: Mapping, *, closed: bool) -> Mapping:
    """Where objects have the fields of an event, those that are left open are these."""
    if closed or not set(columns) >= _EVENT:
        return mapping
    # Where no object has a time of that name, its column is told by its title as elsewhere.
    fields = {
        field: column
        for field, column in _STREAMED.items()
        if not getattr(mapping, field) and (column in columns or field != "time")
    }
    if mapping.type:
        fields.pop("type_column")
    attributes = mapping.attributes or [ATTRIBUTES]
    kinds = {kind: getattr(mapping, kind) or "mixed" for kind in ("user_kind", "item_kind")}
    return msgspec.structs.replace(mapping, **fields, **kinds, attributes=attributes)


def guess_unit(cells: Sequence[Any], mapping: Mapping, of: str, *, comma: str) -> TimeUnit:
    """The unit of the times of some rows. ``SettingsError`` where none or several are possible;
    ``comma`` is what to do about one that stands before fractions."""
    cells = [cell for cell in cells if not is_nothing(cell)]
    if mapping.decimal == ",":
        cells = [pointed(cell) for cell in cells]
    numbers = [figure for figure in map(_figure, cells) if figure is not None and figure > 0]
    texts = [cell for cell in cells if _figure(cell) is None]
    moments = [parse_iso(cell) for cell in texts if isinstance(cell, str)]
    if not numbers and texts and all(moments[:1]):
        if any(moment and moment.tzinfo is None for moment in moments) and not mapping.time_zone:
            raise SettingsError(f"{of}: times such as {shown(texts[0])} have no zone; {NO_ZONE}")
        return "iso"
    units: list[TimeUnit] = ["s", "ms", "us", "ns"]
    fits = [
        unit
        for unit in units
        if all(EARLIEST_MS <= figure * 1000 / PER_S[unit] <= _LATEST_MS for figure in numbers)
    ]
    if numbers and not texts and len(fits) == 1:
        return fits[0]
    example = shown((texts or cells or [None])[0])
    if any(_figure(pointed(cell)) is not None for cell in texts):
        raise SettingsError(f"{of}: times such as {example} have a comma before fractions; {comma}")
    if texts and not numbers:
        raise SettingsError(
            f"{of}: times such as {example} are no ISO 8601 and no numbers; write them as "
            "2024-01-31T10:00:00Z, or as seconds since 1970"
        )
    raise SettingsError(
        f"{of}: the unit of times such as {example} cannot be told; name it with --time-unit (s, "
        "ms, us or ns since 1970, or iso)"
    )


def guess_kind(field: str, cells: Sequence[Any], of: str, *, typed: bool) -> Kind:
    """Integers where all of some ids are. ``typed`` is a format that tells numbers from text."""
    cells = [cell for cell in cells if not is_nothing(cell)]
    integers = sum(_is_integer(cell, typed=typed) for cell in cells)
    if integers == len(cells):
        return "integer"
    # Some digits among much text are usual. A little text among integers may be a wrong row.
    if 2 * integers > len(cells) or (typed and integers):
        other = next(cell for cell in cells if not _is_integer(cell, typed=typed))
        if typed and isinstance(other, int):
            raise SettingsError(
                f"{of}: {field} is an integer, and {shown(other)} does not fit the 64 bits of one "
                f"(signed); say --{field.removesuffix('_id')}-kind text to make all of them text"
            )
        raise SettingsError(
            f"{of}: {field} is an integer in some rows and text in others, such as {shown(other)}, "
            f"and these are different ids; say --{field.removesuffix('_id')}-kind text to make all "
            f"of them text{', mixed to keep both' if typed else ''}, or integer if the others are "
            "wrong rows"
        )
    return "text"


def require_kind(field: str, kind: str, of: str, *, typed: bool) -> None:
    """``SettingsError`` where ids are to be ``mixed`` in a table that does not tell them apart."""
    if kind == "mixed" and not typed:
        raise SettingsError(
            f"{of}: CSV does not tell integers from text, so --{field.removesuffix('_id')}-kind "
            "mixed says nothing; say integer or text"
        )


def _is_integer(cell: Any, *, typed: bool) -> bool:
    if typed and isinstance(cell, str | bytes):
        return False
    try:
        return bool(-(2**63) <= integer_id("id")(cell) < 2**63)
    except EventRejected:
        return False


def _figure(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def _fitting(field: str, columns: Sequence[str]) -> list[str]:
    titles = _TITLES[field].split()
    return [column for column in columns if plain_title(column) in titles]


def plain_title(column: str) -> str:
    """``userId``, ``user_id`` and RecBole's ``user_id:token`` are one title."""
    return "".join(filter(str.isalnum, column.partition(":")[0])).lower()


def _option(field: str) -> str:
    return _OPTIONS.get(field, f"--{field.replace('_', '-')}")


def _listed(columns: Sequence[str]) -> str:
    names = ", ".join(map(repr, columns[:12]))
    return f"its columns: {names}{' …' if len(columns) > 12 else ''}"


def _unclear(field: str, fits: list[str], columns: Sequence[str], mapping: Mapping, of: str) -> str:
    if len(set(fits)) < len(fits):
        return f"{of} has {len(fits)} columns called {fits[0]!r}; rename one, or leave one out"
    if not fits and mapping.header and any(_figure(column) is not None for column in columns):
        return (
            f"{of} seems to have no header ({_listed(columns)}); say --no-header and name columns "
            "by number, such as --user 1 --item 2 --time 3"
        )
    what = f"several columns that may be the {field}" if fits else f"no column titled as a {field}"
    return f"{of} has {what} ({_listed(fits or columns)}); name one with {_option(field)}"


def _absent(field: str, column: str, columns: Sequence[str], mapping: Mapping, of: str) -> str:
    number = column.isdecimal() and mapping.header
    hint = "; a file without a header needs --no-header" if number else ""
    return f"{of} has no column {column!r} for {_option(field)} ({_listed(columns)}){hint}"
