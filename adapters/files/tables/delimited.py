"""CSV and TSV: rows with the line that each begins on. The header may be missing or come again."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from everfresh.adapters.files.tables.mapping import Mapping
from everfresh.adapters.files.tables.recognition import open_text
from everfresh.adapters.files.tables.table import Row, Stamp, require_once
from everfresh.contracts.errors import DataFileError, EventRejected

_DELIMITERS = ",;\t|"
_LOOKED_AT = 20
_SEP = re.compile(r"sep=(.)", re.IGNORECASE)
_MAX_FIELD = 2**20
_SHOWN = 5
# A limit of the whole process: reading a table is the only use of it.
csv.field_size_limit(_MAX_FIELD)


class DelimitedTable:
    """One file. ``DataFileError`` where its delimiter cannot be told, or it has no line."""

    place = "line"
    closed = True
    typed = False

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self.stamps: dict[str, Stamp] = {}
        self._path = path
        self._encoding = mapping.encoding
        self._quotes = mapping.quotes
        with open_text(path, self._encoding) as lines:
            first = [line for line in islice(lines, _LOOKED_AT) if line.strip()]
        # A spreadsheet may say so in a line of its own.
        told = _SEP.fullmatch(first[0].strip()) if first else None
        self._before = 1 if told else 0
        first = first[self._before :]
        if not first:
            raise DataFileError(f"{path} is empty; expected rows with a header")
        self.delimiter = mapping.delimiter or (told[1] if told else self._delimiter(first))
        try:
            header: list[str] = next(self._reader(iter(first)), [])
        except csv.Error as error:
            raise DataFileError(
                f"{path} line 1 is not CSV ({error}); mend it, or say --no-quotes where quotes "
                "mean nothing"
            ) from None
        self._header = [name.strip() for name in header] if mapping.header else None
        numbers = [str(at + 1) for at in range(len(header))]
        self.columns = numbers if self._header is None else self._header
        self.headers_left_out = 0

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """The cells of each row, as text, and the line that it begins on."""
        require_once(self._path, self.columns, wanted)
        places = [self.columns.index(name) for name in wanted]
        pick: Any = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
        width, header, first = len(self.columns), self._header, True
        with open_text(self._path, self._encoding) as lines:
            reader = self._reader(islice(lines, self._before, None))
            while True:
                line = reader.line_num + 1 + self._before
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    end = reader.line_num + self._before
                    yield line, self._unreadable(error, line, end)
                    yield from _swallowed(line, end)
                    continue
                if not row:
                    continue
                if header is not None and row[0].strip() == header[0] and _same(row, header):
                    self.headers_left_out += not first
                    first = False
                elif len(row) == width:
                    yield line, pick(row)
                elif len(row) > 1 or row[0].strip():
                    yield line, _misshaped(row, width)
                    yield from _swallowed(line, reader.line_num + self._before)

    def _reader(self, lines: Iterator[str]) -> Any:
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self._quotes else csv.QUOTE_NONE,
            skipinitialspace=self.delimiter != "\t",
            strict=True,
        )

    def _delimiter(self, first: list[str]) -> str:
        """The one sign that cuts all first lines into as many cells, two at least."""
        fits = []
        for delimiter in _DELIMITERS:
            self.delimiter = delimiter
            try:
                widths = {len(row) for row in self._reader(iter(first[:-1] or first))}
            except csv.Error:
                continue
            if len(widths) == 1 and widths != {1}:
                fits.append(delimiter)
        if len(fits) > 1:
            # A column's text may hold another sign as often in each line, but hardly in its title.
            fits = [delimiter for delimiter in fits if _words(first[0].split(delimiter))]
        if len(fits) == 1:
            return fits[0]
        in_header = [delimiter for delimiter in _DELIMITERS if delimiter in first[0]]
        if len(in_header) == 1:
            return in_header[0]
        raise DataFileError(
            f"{self._path} line 1: {first[0].rstrip()[:80]!r} does not tell what stands between "
            "columns; name it with --delimiter (a sign, or 'tab')"
        )

    def _unreadable(self, error: csv.Error, begin: int, end: int) -> EventRejected:
        what = f"lines {begin} to {end} are" if end > begin else "the line is"
        return EventRejected(
            "not_a_row",
            f"{what} not CSV ({error}); a quote that is not closed or stands inside a cell: mend "
            "it, or say --no-quotes where quotes mean nothing",
        )


def _same(row: list[str], header: list[str]) -> bool:
    return [cell.strip() for cell in row] == header


def _words(cells: list[str]) -> bool:
    return all(cell.strip(' "\r\n').replace("_", "").isalnum() for cell in cells)


def _swallowed(begin: int, end: int) -> Iterator[Row]:
    """The lines behind the first of a row that is none: a quote that nobody meant may have taken
    any number of good rows, and each counts."""
    for line in range(begin + 1, end + 1):
        yield line, EventRejected("not_a_row", f"it is taken for a part of the row of line {begin}")


def _misshaped(row: list[str], width: int) -> EventRejected:
    shown = ", ".join(repr(cell[:20]) for cell in row[:_SHOWN])
    return EventRejected("not_a_row", f"{width} cells expected, found {len(row)}: {shown}")
