"""One row of a table as an event, by a mapping in which nothing is left to guess."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Map
from typing import Any

from everfresh.adapters.files.tables.cells import (
    Read,
    id_reader,
    is_absent,
    is_nothing,
    iso_time,
    number,
    numeric_time,
    plain,
    pointed,
    require,
    stamp_text,
    stamp_time,
    text,
)
from everfresh.adapters.files.tables.mapping import ATTRIBUTES, Mapping, zone_of
from everfresh.adapters.files.tables.table import Stamp
from everfresh.contracts.event import Event

_OPTIONAL = ("type_column", "value", "request_id", "id")


def wanted_columns(mapping: Mapping) -> list[str]:
    """The columns to read, in the order in which :func:`row_reader` takes their cells."""
    optional = [column for name in _OPTIONAL if (column := getattr(mapping, name))]
    return [mapping.user, mapping.item, mapping.time, *optional, *mapping.attributes]


def row_reader(
    mapping: Mapping, stamps: Map[str, Stamp], earliest_ms: int | None
) -> Callable[[Sequence[Any]], Event]:
    """Makes an event of the cells of one row, or raises ``EventRejected``.

    ``stamps`` are the columns of this file that are declared to be times; ``earliest_ms`` is the
    first time that a number may be in a unit that was guessed. Ids that the table has not are "".
    """
    read_user = id_reader("user_id", mapping.user_kind)
    read_item = id_reader("item_id", mapping.item_kind)
    read_time = _time_reader(mapping, stamps.get(mapping.time), earliest_ms)
    places: dict[str, int] = {}
    for name in _OPTIONAL:
        if getattr(mapping, name):
            places[name] = 3 + len(places)
    type_at, value_at = places.get("type_column"), places.get("value")
    request_at, id_at = places.get("request_id"), places.get("id")
    renamed, constant = mapping.types, mapping.type
    read_value: Read = number
    if mapping.decimal == ",":
        read_value, read_time = _after_comma(number), _after_comma(read_time)
    attributes = [
        (at, name, _attribute_reader(stamps.get(name)))
        for at, name in enumerate(mapping.attributes, 3 + len(places))
    ]

    def read(cells: Sequence[Any]) -> Event:
        kind: Any = constant
        if type_at is not None:
            kind = cells[type_at]
            if kind.__class__ is not str or is_nothing(kind):
                require("type", kind)
                kind = text(kind)
            kind = renamed.get(kind, kind)
        return Event(
            "" if id_at is None else text(cells[id_at]) or "",
            kind,
            read_time(cells[2]),
            read_user(cells[0]),
            read_item(cells[1]),
            None if value_at is None else read_value(cells[value_at]),
            None if request_at is None else text(cells[request_at]),
            _attributes(cells, attributes) if attributes else None,
        )

    return read


def _after_comma(read: Read) -> Read:
    return lambda cell: read(pointed(cell))


def _attributes(
    cells: Sequence[Any], attributes: list[tuple[int, str, Read]]
) -> dict[str, Any] | None:
    said: dict[str, Any] = {}
    for at, name, read in attributes:
        cell = cells[at]
        if name == ATTRIBUTES and isinstance(cell, dict):
            said |= read(cell)
        elif not is_absent(cell):
            said[name] = read(cell)
    return said or None


def _attribute_reader(stamp: Stamp | None) -> Read:
    return plain if stamp is None else stamp_text(stamp)


def _time_reader(mapping: Mapping, stamp: Stamp | None, earliest_ms: int | None) -> Read:
    zone = zone_of(mapping.time_zone) if mapping.time_zone else None
    if stamp is not None:
        return stamp_time(None if stamp.zoned else zone)
    if mapping.time_unit == "iso":
        return iso_time(zone)
    return numeric_time(mapping.time_unit, earliest_ms)
