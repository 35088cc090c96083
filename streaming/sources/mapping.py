"""What a source's settings make of one record: an event, nothing, or a reason why not. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event
from everfresh.contracts.settings.sources import HEADER, KEY, TIMESTAMP, SourceSettings

Headers = list[tuple[str, bytes | None]]

_PER_S = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_MS, _LATEST_MS = 631_152_000_000, 4_102_444_800_000  # the years 1990 and 2100
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_EXACT = 2**53
_SHOWN = 60


class SourceRecord(msgspec.Struct, frozen=True):
    """A record of a source, with its value decoded. ``place`` names the record: its topic,
    partition, offset and timestamp. ``timestamp`` is in UTC milliseconds."""

    place: str
    timestamp: int
    key: bytes | None
    headers: Headers
    value: Any


Get = Callable[[SourceRecord], Any]


class SourceMapping:
    """Compiled once from the settings; immutable."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._user, self._item = _getter(settings.user), _getter(settings.item)
        self._time = _getter(settings.time)
        self._read_time = _time_reader(settings)
        self._type = _getter(settings.type_field) if settings.type_field else None
        self._types = settings.types
        self._value = _getter(settings.value) if settings.value else None
        self._request = _getter(settings.request_id) if settings.request_id else None
        self._id = _getter(settings.id) if settings.id else None
        self._attributes = [(path.lstrip("$"), _getter(path)) for path in settings.attributes]
        self._where = [(_getter(path), _allowed(of)) for path, of in settings.where.items()]
        self.reads_headers = any(path.startswith(HEADER) for path in settings.paths)

    def event(self, record: SourceRecord) -> Event | None:
        """The event, ``None`` where ``where`` leaves the record out; ``EventRejected`` otherwise.

        Whether the event is one that the worker accepts is not looked at here.
        """
        for get, allowed in self._where:
            found = get(record)
            if not isinstance(found, str | bool | int | float) or _told(found) not in allowed:
                return None
        named = self._settings
        kind = named.type if self._type is None else self._kind(record, self._type)
        return Event(
            record.place if self._id is None else _text("id", self._id(record), named.id),
            kind,
            self._read_time(self._time(record)),
            _identity("user_id", self._user(record), named.user, named.user_kind),
            _identity("item_id", self._item(record), named.item, named.item_kind),
            None if self._value is None else _number(self._value(record), named.value),
            None if self._request is None else _optional(self._request(record), named.request_id),
            self._said(record) if self._attributes else None,
        )

    def _kind(self, record: SourceRecord, get: Get) -> str:
        kind = _text("type", get(record), self._settings.type_field)
        return self._types.get(kind, kind)

    def _said(self, record: SourceRecord) -> dict[str, Any] | None:
        said = {name: get(record) for name, get in self._attributes}
        return {name: value for name, value in said.items() if value is not None} or None


def _getter(path: str) -> Get:
    if path == KEY:
        return lambda record: None if record.key is None else _utf8(record.key, "the record's key")
    if path == TIMESTAMP:
        return lambda record: record.timestamp
    if path.startswith(HEADER):
        name = path.removeprefix(HEADER)
        return lambda record: next(
            (
                _utf8(raw, path)
                for given, raw in record.headers
                if given == name and raw is not None
            ),
            None,
        )
    steps = path.split(".")
    if len(steps) == 1:
        return lambda record: record.value.get(path) if isinstance(record.value, dict) else None

    def get(record: SourceRecord) -> Any:
        found = record.value
        if isinstance(found, dict) and path in found:  # a field may have dots in its own name
            return found[path]
        for step in steps:
            if not isinstance(found, dict):
                return None
            found = found.get(step)
        return found

    return get


def _told(value: Any) -> tuple[bool, Any]:
    return isinstance(value, bool), value  # 1 and true are equal in Python


def _allowed(values: Any) -> frozenset[tuple[bool, Any]]:
    return frozenset(map(_told, values if isinstance(values, list) else [values]))


def _utf8(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise EventRejected("wrong_field", f"{what} is no UTF-8 text, found {raw[:20]!r}") from None


def _text(field: str, value: Any, path: str) -> str:
    _require(field, value, path)
    if isinstance(value, str):
        return value
    if isinstance(value, UUID) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise EventRejected("wrong_field", f"{path} is the {field}, so text; found {_shown(value)}")


def _optional(value: Any, path: str) -> str | None:
    return None if value is None else _text("request_id", value, path)


def _require(field: str, value: Any, path: str) -> None:
    if value is None:
        raise EventRejected("missing_field", f"{path}, which is the {field}, is not there")


def _identity(field: str, value: Any, path: str, kind: str) -> int | str:
    if (value.__class__ is str or value.__class__ is int) and not kind:
        return value
    _require(field, value, path)
    if isinstance(value, UUID):
        value = str(value)
    if isinstance(value, float | Decimal):
        whole = float(value)
        value = int(whole) if abs(whole) < _EXACT and whole.is_integer() else value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise EventRejected(
            f"bad_{field}", f"{path} is an id, so text or a whole number; found {_shown(value)}"
        )
    if kind == "text":
        return str(value)
    if kind == "integer" and isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise EventRejected(
                f"bad_{field}", f"{path} was to be a whole number, found {_shown(value)}"
            )
        return int(value)
    return value


def _number(value: Any, path: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise EventRejected("bad_value", f"{path} is a number, found {_shown(value)}")


def _time_reader(settings: SourceSettings) -> Callable[[Any], int]:
    path, unit = settings.time, settings.time_unit
    per_s = _PER_S.get("ms" if path == TIMESTAMP else unit)

    def read(value: Any) -> int:
        _require("time", value, path)
        if isinstance(value, datetime):
            return _within(_of_datetime(value, path), value)
        if unit == "iso":
            return _within(_of_iso(value, path), value)
        if per_s is None:
            raise EventRejected(
                "bad_time",
                f"{path} is {_shown(value)} and has no unit of its own; set the source's time_unit",
            )
        if isinstance(value, str):
            value = _number_of(value, path)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise EventRejected("bad_time", f"{path} is a time in {unit}, found {_shown(value)}")
        try:
            return _within(int(value * 1000) // per_s, value)
        except (ValueError, OverflowError):
            raise EventRejected("bad_time", f"{path} is no time: {_shown(value)}") from None

    def _within(time: int, value: Any) -> int:
        if not _EARLIEST_MS <= time <= _LATEST_MS:
            raise EventRejected(
                "bad_time",
                f"{path} is {_shown(value)}, which is not between 1990 and 2100; check time_unit, "
                f"which is {unit or 'not set'}",
            )
        return time

    return read


def _number_of(value: str, path: str) -> int | float:
    try:
        return int(value) if _INTEGER.fullmatch(value) else float(value)
    except ValueError:
        raise EventRejected("bad_time", f"{path} is a number, found {_shown(value)}") from None


def _of_iso(value: Any, path: str) -> int:
    try:
        return _of_datetime(datetime.fromisoformat(value), path)
    except (TypeError, ValueError):
        raise EventRejected(
            "bad_time",
            f"{path} is ISO 8601 text such as 2026-01-31T12:00:00Z, found {_shown(value)}",
        ) from None


def _of_datetime(moment: datetime, path: str) -> int:
    if moment.tzinfo is None:
        raise EventRejected("bad_time", f"{path} names no time zone: {moment.isoformat()}")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _shown(value: Any) -> str:
    return ascii(value)[:_SHOWN]
