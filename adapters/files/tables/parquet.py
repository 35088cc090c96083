"""Parquet: rows in batches, so that a file may be larger than memory. All that names pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from everfresh.adapters.files.tables.recognition import told
from everfresh.adapters.files.tables.table import Row, Stamp, require_once
from everfresh.contracts.errors import DataFileError, MissingDependency

_BATCH_ROWS = 8192
_BUFFER_BYTES = 2**20  # of each column: pages are read as they are needed, not whole row groups


class ParquetTable:
    """One file. ``MissingDependency`` without pyarrow, ``DataFileError`` where it is damaged."""

    place = "row"
    closed = True
    typed = True
    headers_left_out = 0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrow, self._parquet = _pyarrow()
        with self._opened() as file:
            leaves = list(_leaves(self._arrow, file.schema_arrow))
        self.columns = [name for name, _ in leaves]
        types = self._arrow.types
        self.stamps = {
            name: Stamp(getattr(kind, "tz", None) is not None, types.is_date(kind))
            for name, kind in leaves
            if types.is_timestamp(kind) or types.is_date(kind)
        }

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """The cells of each row as Python's values; times as integers of microseconds."""
        require_once(self._path, self.columns, wanted)
        number = 0
        with self._opened() as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
                columns = [self._cells(batch, name) for name in wanted]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, cells

    def _cells(self, batch: Any, name: str) -> list[Any]:
        titles = batch.schema.names
        column = batch.column(titles.index(name)) if name in titles else None
        if column is None:
            top, *steps = name.split(".")
            column = import_module("pyarrow.compute").struct_field(batch.column(top), steps)
        if name in self.stamps:
            # Arrow counts nanoseconds as well, which Python's datetime does not.
            moments = (
                column.cast(self._arrow.timestamp("us", column.type.tz), safe=False)
                if (self._arrow.types.is_timestamp(column.type))
                else column.cast(self._arrow.timestamp("us"))
            )
            column = moments.cast(self._arrow.int64())
        coarse = _without_ns(self._arrow, column.type)
        if coarse != column.type:
            column = column.cast(coarse, safe=False)
        cells: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
        return cells

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with (
                told(self._path),
                self._parquet.ParquetFile(
                    self._path,
                    pre_buffer=False,
                    buffer_size=_BUFFER_BYTES,
                    page_checksum_verification=True,
                    coerce_int96_timestamp_unit="us",
                ) as file,
            ):
                yield file
        except self._arrow.ArrowException as error:
            why = " ".join(str(error).split())[:200]
            raise DataFileError(
                f"{self._path} cannot be read as Parquet: {why}; write it again, or fetch it again"
            ) from None


def _leaves(arrow: Any, fields: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields:
        name = above + field.name
        kind = field.type
        if arrow.types.is_dictionary(kind):
            kind = kind.value_type
        yield name, kind
        if arrow.types.is_struct(kind):
            yield from _leaves(arrow, kind, f"{name}.")


def _without_ns(arrow: Any, kind: Any) -> Any:
    """The type with microseconds for the nanoseconds in it, which Python's times do not count."""
    types = arrow.types
    if getattr(kind, "unit", "") == "ns":
        if types.is_timestamp(kind):
            return arrow.timestamp("us", kind.tz)
        return arrow.duration("us") if types.is_duration(kind) else arrow.time64("us")
    if not types.is_nested(kind):
        return kind
    if types.is_struct(kind):
        return arrow.struct([_field_without_ns(arrow, field) for field in kind])
    if types.is_map(kind):
        return arrow.map_(kind.key_type, _field_without_ns(arrow, kind.item_field))
    make = {types.is_list: arrow.list_, types.is_large_list: arrow.large_list}
    of = next((make[test] for test in make if test(kind)), None)
    return kind if of is None else of(_field_without_ns(arrow, kind.value_field))


def _field_without_ns(arrow: Any, field: Any) -> Any:
    return field.with_type(_without_ns(arrow, field.type))


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise MissingDependency(
            "to read Parquet, everfresh needs pyarrow; install it with `pip install "
            "'everfresh[parquet]'`, or write the table as CSV or JSON lines"
        ) from None
