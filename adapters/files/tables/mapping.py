"""The mapping: which columns of a table become which fields of an event, and how they are read."""

from __future__ import annotations

from datetime import UTC, datetime, timezone, tzinfo
from pathlib import Path
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from everfresh.contracts.errors import SettingsError

TimeUnit = Literal["", "s", "ms", "us", "ns", "iso"]
Kind = Literal["", "integer", "text", "mixed"]
_MOST_BYTES = 1_000_000
ATTRIBUTES = "attributes"
"""A column of that name with objects in it holds an event's attributes, as the stream has them."""
_CHOICES = {
    "time_unit": get_args(TimeUnit)[1:],
    "user_kind": get_args(Kind)[1:],
    "item_kind": get_args(Kind)[1:],
}


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Every empty field is guessed where the table leaves no doubt, or is left out of the events.

    ``user``, ``item``, ``time``, ``type_column``, ``value``, ``request_id``, ``id`` and
    ``attributes`` name columns: by their title, by their number from 1 where ``header`` is false,
    and with dots where they lie in a nested one. ``type`` is the type of all events instead;
    ``types`` gives types of the table their names in everfresh.

    ``time_zone`` is that of times that name none. ``user_kind`` and ``item_kind`` say whether ids
    are integers or text, or ``mixed``: each as the file has it. ``delimiter``, ``quotes`` and
    ``header`` are of CSV; ``encoding`` is of all text. ``decimal`` is the sign before fractions of
    values and of times that are numbers: a point, or a comma.
    """

    user: str = ""
    item: str = ""
    time: str = ""
    type: str = ""
    type_column: str = ""
    types: dict[str, str] = {}
    value: str = ""
    request_id: str = ""
    id: str = ""
    attributes: list[str] = []
    time_unit: TimeUnit = ""
    time_zone: str = ""
    user_kind: Kind = ""
    item_kind: Kind = ""
    delimiter: str = ""
    quotes: bool = True
    header: bool = True
    encoding: str = ""
    decimal: str = ""

    def __post_init__(self) -> None:
        if self.type and self.type_column:
            raise ValueError("type gives all events one type and type_column reads it: name one")
        if self.delimiter and (len(self.delimiter) != 1 or self.delimiter in '\r\n"'):
            raise ValueError(f"delimiter is one sign, found {self.delimiter!r}")
        if self.decimal not in {"", ".", ","}:
            raise ValueError(f"decimal is a point or a comma, found {self.decimal!r}")
        if self.time_zone:
            zone_of(self.time_zone)
        if self.encoding:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError):
                raise ValueError(
                    f"encoding is the name of one, such as latin-1, found {self.encoding!r}"
                ) from None


def zone_of(name: str) -> tzinfo:
    """A zone by its name (``Europe/Berlin``), ``UTC``, or an offset (``+02:00``)."""
    if name.upper() in {"UTC", "Z"}:
        return UTC
    try:
        if name[0] in "+-":
            offset = datetime.fromisoformat(f"2000-01-01T00:00{name}").utcoffset()
            assert offset is not None, "a time with an offset has one"
            return timezone(offset)
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError(
            f"time_zone is UTC, a name such as Europe/Berlin or an offset such as +02:00, found "
            f"{name!r}"
        ) from None


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a file is to be read: what the command line says of it, on its way to the process.

    ``form`` is a format, or empty where the file tells it. ``tolerate`` is the share of rows that
    may be wrong; ``rejects`` the file that lists them; ``scratch`` a folder for what does not fit
    into memory.
    """

    form: str = ""
    mapping: Mapping = Mapping()
    tolerate: float = 0.0
    rejects: str = ""
    scratch: str = ""


def encode_reading(reading: Reading) -> str:
    """As text, for a command line. ``SettingsError`` for bytes that are no UTF-8."""
    try:
        return msgspec.json.encode(reading).decode()
    except UnicodeEncodeError as error:
        raise SettingsError(
            f"options that say how a file is read are UTF-8 text, found {ascii(error.object)[:80]}"
        ) from None


def decode_reading(text: str) -> Reading:
    """``SettingsError`` for a text that is none."""
    try:
        return msgspec.json.decode(text, type=Reading)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"this is no description of how a file is read: {error}") from None


def mapping_of(file: Path | None, options: dict[str, object]) -> Mapping:
    """What a TOML file says, and on top of it what the command line does.

    ``SettingsError`` where the file cannot be read, a name is unknown or two exclude each other.
    """
    fields = {} if file is None else _fields_of(file)
    place = "the mapping" if file is None else str(file)
    if (options.get("delimiter") or fields.get("delimiter")) in {"tab", "\\t"}:
        options = {**options, "delimiter": "\t"}
    for one, other in (("type", "type_column"), ("type_column", "type")):
        if one in options:
            fields.pop(other, None)
    try:
        return msgspec.convert({**fields, **options}, Mapping)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{place}: {error}{_hint(str(error))}") from None


def _fields_of(file: Path) -> dict[str, object]:
    try:
        raw = file.read_bytes() if file.is_file() else None
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from None
    if raw is None or len(raw) > _MOST_BYTES:
        what = "is no TOML file of a mapping" if file.exists() else "does not exist"
        raise SettingsError(f"--mapping names {file}, which {what}")
    try:
        return msgspec.toml.decode(raw.decode("utf-8-sig"), type=dict[str, object])
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise SettingsError(f"{file} is no TOML: {error}") from None


def _hint(error: str) -> str:
    if "unknown field" in error:
        return f"; it may have: {', '.join(Mapping.__struct_fields__)}"
    named = (name for name in _CHOICES if f"$.{name}`" in error)
    return "".join(f"; it is one of {', '.join(_CHOICES[name])}" for name in named)
