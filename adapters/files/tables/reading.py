"""A table, or a folder of them, as events: opened, guessed, read row by row, sorted by time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from everfresh.adapters.files.checks import EventCheck
from everfresh.adapters.files.event_ids import ContentIds
from everfresh.adapters.files.tables.cells import NO_UTF8, NO_ZONE, PER_S
from everfresh.adapters.files.tables.delimited import DelimitedTable
from everfresh.adapters.files.tables.folders import Part, parts_of
from everfresh.adapters.files.tables.guessing import (
    EARLIEST_MS,
    guess_columns,
    guess_kind,
    guess_unit,
    require_kind,
)
from everfresh.adapters.files.tables.json_objects import JsonTable
from everfresh.adapters.files.tables.mapping import Mapping, Reading
from everfresh.adapters.files.tables.parquet import ParquetTable
from everfresh.adapters.files.tables.part_table import PartTable
from everfresh.adapters.files.tables.recognition import recognise
from everfresh.adapters.files.tables.rejects import Rejects
from everfresh.adapters.files.tables.row_events import row_reader, wanted_columns
from everfresh.adapters.files.tables.table import Stamp, Table
from everfresh.adapters.files.tables.time_order import TimeOrder
from everfresh.contracts.errors import DataFileError, EventRejected, SettingsError
from everfresh.contracts.event import Event

_SAMPLE = 1000
_SAID_EVERY = 10_000
_LONGEST_ID = "-" * 33
"""As long as an id that is made: an event is checked before it has one."""

OnRows = Callable[[int], object]
"""Hears how many rows have been read, now and then."""


@dataclass(frozen=True)
class Source:
    """What is to be read: files that are not empty, and the mapping with all guesses in it.

    ``guesses`` are written as the options that say the same. ``forms`` counts files by format.
    """

    parts: list[tuple[Part, str]]
    left_out: list[Path]
    empty: list[Path]
    mapping: Mapping
    guesses: list[str]
    earliest_ms: int | None
    """The first time that a number may be, in a unit that was guessed."""


@dataclass
class Counts:
    """What a reading has met so far."""

    rows: int = 0
    headers: int = 0
    rejects: Rejects = field(default_factory=lambda: Rejects(None, 0.0))


def find_source(path: Path, reading: Reading) -> Source:
    """Look at the files and at the first rows. ``SettingsError`` where it has to be asked."""
    parts, left_out = parts_of(path)
    forms = [(part, form_of(part.path, reading.form)) for part in parts]
    filled = [(part, form) for part, form in forms if form]
    empty = [part.path for part, form in forms if not form]
    if not filled:
        raise DataFileError(f"{path} is empty; expected rows of events")
    for part, form in filled:
        table = open_table(part, form, reading.mapping)
        if next(table.rows(table.columns[:1]), None) is not None:
            mapping, guesses = _guess(table, reading.mapping, str(part.path))
            guessed = mapping.time_unit in PER_S and not reading.mapping.time_unit
            earliest = EARLIEST_MS if guessed else None
            return Source(filled, left_out, empty, mapping, guesses, earliest)
    raise DataFileError(f"{path} has no rows but a header; expected rows of events")


def read_rows(
    source: Source, check: EventCheck, counts: Counts, on_rows: OnRows
) -> Iterator[Event]:
    """The events of all files, in the order of files and rows, without ids of our own.

    ``counts`` goes along, with what was rejected. ``DataFileError`` for a file that cannot be read
    to its end; ``Rejects`` says what else.
    """
    for part, form in source.parts:
        table = open_table(part, form, source.mapping)
        wanted = wanted_columns(source.mapping)
        _require_as_before(table, part.path, source.mapping, wanted)
        event_of = row_reader(source.mapping, table.stamps, source.earliest_ms)
        for number, cells in table.rows(wanted):
            counts.rows += 1
            if counts.rows % _SAID_EVERY == 0:
                on_rows(counts.rows)
            try:
                if isinstance(cells, EventRejected):
                    raise cells
                event = event_of(cells)
                check(event if event.id else msgspec.structs.replace(event, id=_LONGEST_ID))
            except EventRejected as error:
                why, found = error, None
                if not isinstance(cells, EventRejected):
                    found = dict(zip(wanted, cells, strict=True))
                    why = _named(error, cells)
                counts.rejects.add(part.path, table.place, number, why, found)
            else:
                yield event
        counts.headers += table.headers_left_out
    on_rows(counts.rows)


def _named(why: EventRejected, cells: Sequence[Any]) -> EventRejected:
    """The same, or what is behind it: bytes of another encoding came as surrogates."""
    if why.reason == "wrong_field" and "\\udc" in ascii(cells):
        return EventRejected("not_text", NO_UTF8)
    return why


class TableEvents:
    """The events of a source in time order, with ids: an ``EventFile``.

    The constructor reads everything once: ``DataFileError`` where more rows are wrong than
    ``reading`` tolerates. What was read then lies in a scratch file, so it takes little memory.
    """

    def __init__(
        self, path: Path, reading: Reading, check: EventCheck, on_rows: OnRows = lambda rows: None
    ) -> None:
        source = find_source(path, reading)
        rejects = Rejects(Path(reading.rejects) if reading.rejects else None, reading.tolerate)
        self.counts = Counts(rejects=rejects)
        scratch = Path(reading.scratch) if reading.scratch else None
        with rejects:
            rows = read_rows(source, check, self.counts, on_rows)
            self._events = TimeOrder(rows, scratch)
            rejects.judge(self.counts.rows)
        if not len(self._events):
            raise DataFileError(f"{path} holds no event: none of its rows could become one")

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        ids = ContentIds()
        for event in self._events:
            yield event if event.id else msgspec.structs.replace(event, id=ids.of(event))


def form_of(path: Path, named: str) -> str:
    """The format of a file, by its content or as ``named``; empty where the file is."""
    found = recognise(path)
    if named == "tsv":
        named = "csv"
    if named and found and named != found and "parquet" in {named, found}:
        raise DataFileError(f"{path} is {found} by its content, and {named} was named")
    return (named or found) if found else ""


def open_table(part: Part, form: str, mapping: Mapping) -> Table:
    """One file of that format, with the columns that its folders' names are."""
    table: Table
    if form == "parquet":
        table = ParquetTable(part.path)
    elif form == "jsonl":
        table = JsonTable(part.path, mapping)
    else:
        table = DelimitedTable(part.path, mapping)
    return PartTable(table, part.partition) if part.partition else table


def _guess(table: Table, asked: Mapping, of: str) -> tuple[Mapping, list[str]]:
    mapping, notes = guess_columns(table.columns, asked, of, closed=table.closed)
    rows = islice(table.rows([mapping.user, mapping.item, mapping.time]), _SAMPLE)
    sample: list[Any] = [cells for _, cells in rows if not isinstance(cells, EventRejected)]
    found: dict[str, str] = {}
    for at, name in enumerate(("user", "item")):
        require_kind(f"{name}_id", getattr(mapping, f"{name}_kind"), of, typed=table.typed)
        if not getattr(mapping, f"{name}_kind"):
            cells = [row[at] for row in sample]
            found[f"{name}_kind"] = kind = guess_kind(f"{name}_id", cells, of, typed=table.typed)
            # A typed table's own kind needs no word, but for integers that are too large for one.
            if not table.typed or (kind == "text" and any(isinstance(one, int) for one in cells)):
                notes.append(f"--{name}-kind {kind}")
    stamp = table.stamps.get(mapping.time)
    if stamp is not None:
        _require_zone(stamp, mapping, of)
    elif not mapping.time_unit:
        cells = [row[2] for row in sample]
        found["time_unit"] = unit = guess_unit(cells, mapping, of, comma="say --decimal ,")
        notes.append(f"--time-unit {unit}")
    return msgspec.structs.replace(mapping, **found), notes


def _require_as_before(table: Table, path: Path, mapping: Mapping, wanted: Sequence[str]) -> None:
    """``DataFileError`` where a later file is not as the first one, for which the guesses hold."""
    for column in wanted:
        if table.closed and column not in table.columns:
            raise DataFileError(
                f"{path} has no column {column!r}, unlike the first file; give the files of a "
                "folder the same columns, or read them apart"
            )
    stamp = table.stamps.get(mapping.time)
    if stamp is not None:
        _require_zone(stamp, mapping, str(path))
    elif not mapping.time_unit:
        raise DataFileError(
            f"{path}: its times are numbers or text, unlike those of the first file; name their "
            "unit with --time-unit, or read the files apart"
        )


def _require_zone(stamp: Stamp, mapping: Mapping, of: str) -> None:
    if not (stamp.zoned or mapping.time_zone):
        raise SettingsError(
            f"{of}: the times of {mapping.time!r} have no zone (a timestamp without one); {NO_ZONE}"
        )
