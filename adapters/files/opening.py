"""Opens whatever holds events: a table, or a published dataset.

    csv, tsv, jsonl, parquet   tables, or folders of them (``adapters.files.tables``)
    ml-100k, ml-1m, ader       see ``adapters.files.datasets``

Without a name the file tells its format: by its first bytes and its first line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from everfresh.adapters.files.checks import EventCheck
from everfresh.adapters.files.datasets import DATASETS, EventFile
from everfresh.adapters.files.movielens import INTER_HEADER
from everfresh.adapters.files.tables.mapping import Mapping, Reading
from everfresh.adapters.files.tables.reading import Counts, TableEvents
from everfresh.adapters.files.tables.recognition import (
    open_text,
    packing_of,
    recognise,
    require_regular,
)
from everfresh.contracts.errors import SettingsError

TABLES = ("csv", "tsv", "jsonl", "parquet")
FORMATS = (*TABLES, *sorted(DATASETS))

_ML_1M = re.compile(r"\d+::\d+::[\d.]+::\d+\s*")
_PERIOD = re.compile(r"period_\d+\.txt")


@dataclass(frozen=True)
class Opened:
    """Events, and what reading them met; ``form`` is their format."""

    events: EventFile
    form: str
    counts: Counts


def open_events(
    path: Path,
    reading: Reading,
    check: EventCheck,
    on_rows: Callable[[int], object] = lambda rows: None,
) -> Opened:
    """Read everything once, checked; ``DataFileError`` or ``SettingsError`` for what is wrong.

    ``on_rows`` hears how many rows of a table have been read.
    """
    form = told_format(path, reading)
    if form in DATASETS:
        return Opened(DATASETS[form](path, check), form, Counts())
    events = TableEvents(path, table_reading(reading), check, on_rows)
    return Opened(events, "table", events.counts)


def told_format(path: Path, reading: Reading) -> str:
    """A name of ``DATASETS`` for what they read; empty for a table."""
    form, mapped = reading.form, reading.mapping != Mapping()
    if form in DATASETS:
        if mapped or reading.tolerate:
            raise SettingsError(
                f"--format {form} says all of its columns and takes every row: leave the options "
                "that name columns, --mapping and --tolerate out"
            )
        return form
    if form in TABLES or mapped or reading.tolerate:
        return ""
    require_regular(path)
    if path.is_dir():
        periods = [_PERIOD.fullmatch(entry.name) for entry in path.iterdir()]
        return "ader" if any(periods) else ""
    if packing_of(path):
        return ""
    return _told_by_first_line(path)


def table_reading(reading: Reading) -> Reading:
    """The reading of a table: ``tsv`` is CSV with tabs."""
    if reading.form == "tsv" and not reading.mapping.delimiter:
        tabs = msgspec.structs.replace(reading.mapping, delimiter="\t")
        return msgspec.structs.replace(reading, mapping=tabs)
    return reading


def _told_by_first_line(path: Path) -> str:
    if recognise(path) != "csv":
        return ""
    with open_text(path, "") as lines:
        first = next((line.strip() for line in lines if line.strip()), "")
    if _ML_1M.fullmatch(first):
        return "ml-1m"
    if first == INTER_HEADER:
        return "ml-100k"
    return ""
