"""From a cell of a table to a field of an event: ids, times, values. Each reader refuses by name.

A cell is text (CSV), or a value of JSON's or Arrow's. What stands for "nothing" in a file (an empty
cell, ``NULL``, ``\\N``, ``NaN``) is nothing here, too. Where any text may stand, only what
databases write is nothing: ``NA`` may be a country, and ``None`` a title.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from everfresh.adapters.files.tables.table import Stamp
from everfresh.contracts.errors import EventRejected
from everfresh.contracts.foreign import MAX_TIME_MS

NOTHING = frozenset(["", "NULL", "null", "\\N", "NaN", "nan", "None", "NA", "<NA>"])

_ABSENT = frozenset(["", "NULL", "\\N"])

Read = Callable[[Any], Any]

PER_S = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,18}))\.0+")  # pandas writes so where a column has gaps
_SHOWN = 40
_EXACT = 2**53


def is_nothing(cell: Any) -> bool:
    """Whether a cell says that there is no value."""
    return cell is None or (cell.__class__ is str and cell in NOTHING) or _is_nan(cell)


def is_absent(cell: Any) -> bool:
    """The same of a cell that may hold any text."""
    return cell is None or (cell.__class__ is str and cell in _ABSENT) or _is_nan(cell)


def _is_nan(cell: Any) -> bool:
    return isinstance(cell, float | Decimal) and math.isnan(cell)


def _is_whole(cell: Any) -> bool:
    if isinstance(cell, Decimal):
        return cell.is_finite() and cell == cell.to_integral_value()
    return isinstance(cell, float) and abs(cell) < _EXACT and cell.is_integer()


def id_reader(field: str, kind: str) -> Read:
    """Ids of a ``Kind`` that is known."""
    if kind == "mixed":
        return _mixed_id(field)
    return integer_id(field) if kind == "integer" else text_id(field)


def _mixed_id(field: str) -> Read:
    integer, text = integer_id(field), text_id(field)
    return lambda cell: text(cell) if isinstance(cell, str | bytes) else integer(cell)


def integer_id(field: str) -> Read:
    """Integers, as themselves or in canonical decimals; also floats that are whole."""

    def read(cell: Any) -> int:
        kind = cell.__class__
        if kind is int:
            return int(cell)
        if kind is str:
            try:
                number = int(cell)
            except ValueError:
                return _rare_integer(field, cell)
            return number if str(number) == cell else _rare_integer(field, cell)
        return _rare_integer(field, cell)

    return read


def _rare_integer(field: str, cell: Any) -> int:
    require(field, cell)
    if isinstance(cell, bytes):
        cell = cell.decode(errors="surrogateescape")
    if isinstance(cell, str) and (whole := _WHOLE.fullmatch(cell)):
        return int(whole[1])
    if _is_whole(cell):
        return int(cell)
    if isinstance(cell, str) and str(cell).strip() != cell:
        return int(integer_id(field)(cell.strip()))
    raise EventRejected(
        f"bad_{field}",
        f"{field} is an integer in this table, found {shown(cell)}; to keep all as text, say "
        f"--{field.removesuffix('_id')}-kind text",
    )


def text_id(field: str) -> Read:
    """Text as it stands, and integers in decimals."""

    def read(cell: Any) -> str:
        if cell.__class__ is str:
            if cell in NOTHING:
                require(field, cell)
            return str(cell)
        require(field, cell)
        if isinstance(cell, bytes):
            return cell.decode(errors="surrogateescape")
        if isinstance(cell, bool | float | Decimal | list | dict):
            if _is_whole(cell):
                return str(integer_id(field)(cell))
            raise EventRejected(
                f"bad_{field}", f"{field} is text or an integer, found {shown(cell)}"
            )
        return str(cell)

    return read


def require(field: str, cell: Any) -> None:
    """``EventRejected`` for a cell that says nothing."""
    if is_nothing(cell):
        raise EventRejected("missing_field", f"{field} is missing: found {shown(cell)}")


def numeric_time(unit: str, earliest_ms: int | None = None) -> Read:
    """Numbers since 1970 in a unit of ``PER_S``. ``earliest_ms`` bounds them where it was guessed.

    What is later than now is the event check's to refuse.
    """
    per_s = PER_S[unit]

    def read(cell: Any) -> int:
        if cell.__class__ is not int:
            cell = _number("time", "bad_time", cell)
        if not 0 <= cell < 10**20:
            raise EventRejected("bad_time", f"a time since 1970 expected, found {shown(cell)}")
        whole = cell.__class__ is int
        ms = cell * 1000 // per_s if whole else round(Decimal(cell) * 1000 / per_s)
        if ms > MAX_TIME_MS:
            raise EventRejected(
                "bad_time",
                f"found {shown(cell)}, which no year has in {unit} since 1970; if the times of "
                "some files or rows have another unit, read these apart with --time-unit",
            )
        if earliest_ms is not None and ms < earliest_ms:
            raise EventRejected(
                "bad_time",
                f"found {shown(cell)}, where the other times are {unit} since 1970; if it is "
                f"right, say --time-unit {unit}",
            )
        return int(ms)

    return read


def iso_time(zone: tzinfo | None) -> Read:
    """ISO 8601, also with ``UTC`` behind it. ``zone`` is that of times that name none."""

    def read(cell: Any) -> int:
        if not isinstance(cell, str) or cell in NOTHING:
            require("time", cell)
            raise EventRejected("bad_time", f"a time in ISO 8601 expected, found {shown(cell)}")
        moment = parse_iso(cell)
        if moment is None:
            raise EventRejected("bad_time", f"a time in ISO 8601 expected, found {shown(cell)}")
        if moment.tzinfo is None:
            if zone is None:
                raise EventRejected("bad_time", f"{shown(cell)} has no zone; {NO_ZONE}")
            moment = moment.replace(tzinfo=zone)
        return (moment - _EPOCH) // _MS

    return read


NO_UTF8 = "bytes that are not UTF-8; name the file's own --encoding, such as latin-1"
NO_ZONE = "say which one with --time-zone, such as UTC or Europe/Berlin"


def parse_iso(text: str) -> datetime | None:
    """``None`` for what is no such time."""
    text = text.strip()
    if text.endswith((" UTC", " GMT")):
        text = f"{text[:-4]}+00:00"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def stamp_text(stamp: Stamp) -> Read:
    """Microseconds that the table declares, as ISO 8601: a day, or a time as exact as it is."""

    def read(cell: Any) -> str | None:
        if cell is None:
            return None
        try:
            moment = _EPOCH + timedelta(microseconds=cell)
        except OverflowError:
            raise EventRejected("bad_attribute", f"no year has the time {shown(cell)}") from None
        if stamp.of_days:
            return moment.date().isoformat()
        return (moment if stamp.zoned else moment.replace(tzinfo=None)).isoformat()

    return read


def stamp_time(zone: tzinfo | None) -> Read:
    """Microseconds that the table declares: UTC where ``zone`` is None, of a wall clock there."""

    def read(cell: Any) -> int:
        if cell is None:
            require("time", cell)
        ms = cell // 1000
        if zone is None or zone is UTC or not 0 <= ms <= MAX_TIME_MS:
            return int(ms)
        wall = (_EPOCH + timedelta(milliseconds=ms)).replace(tzinfo=zone)
        return (wall - _EPOCH) // _MS

    return read


def number(cell: Any) -> float | None:
    """A magnitude, or ``None`` for nothing."""
    if cell.__class__ is float:
        return None if math.isnan(cell) else float(cell)
    try:
        return None if is_nothing(cell) else float(_number("value", "bad_value", cell))
    except OverflowError:
        raise EventRejected("bad_value", f"value is too large: {shown(cell)}") from None


def pointed(cell: Any) -> Any:
    """Text with a point where it has a comma before fractions. A point has no place beside it."""
    if cell.__class__ is str and "," in cell and "." not in cell:
        return cell.replace(",", ".")
    return cell


def text(cell: Any) -> str | None:
    """Text, or a number in decimals; ``None`` for nothing."""
    if is_nothing(cell):
        return None
    return cell.decode(errors="surrogateescape") if isinstance(cell, bytes) else str(cell)


def plain(cell: Any) -> Any:
    """What JSON can say of it: for attributes."""
    if isinstance(cell, list | tuple):
        return [plain(part) for part in cell]
    if isinstance(cell, dict):
        return {str(name): plain(part) for name, part in cell.items()}
    if isinstance(cell, Decimal):
        cell = float(cell)
    elif isinstance(cell, timedelta):
        cell = cell.total_seconds()
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    if cell is None or isinstance(cell, str | bool | int | float):
        return cell
    return cell.isoformat() if isinstance(cell, date | time) else text(cell)


def shown(cell: Any) -> str:
    """A cell for a message."""
    words = repr(cell)
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"


def _number(field: str, reason: str, cell: Any) -> int | float:
    require("time" if field == "time" else field, cell)
    if isinstance(cell, bool | int | float | Decimal):
        figure: int | float = float(cell) if isinstance(cell, Decimal) else cell
    else:
        words = cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
        try:
            figure = int(words) if words.strip().lstrip("+-").isdecimal() else float(words)
        except (ValueError, OverflowError):
            raise EventRejected(reason, f"{field} is a number, found {shown(cell)}") from None
    if isinstance(figure, float) and not math.isfinite(figure):
        raise EventRejected(reason, f"{field} is a finite number, found {shown(cell)}")
    return figure
