"""A file of a partitioned folder: its own columns, and those that its folders' names are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from everfresh.adapters.files.tables.table import Row, Table
from everfresh.contracts.errors import EventRejected


class PartTable:
    """A file's table, and columns for its folders' names where it has none such itself."""

    def __init__(self, table: Table, partition: dict[str, str | None]) -> None:
        self._table = table
        self._partition = {
            name: value for name, value in partition.items() if name not in table.columns
        }
        self.place, self.closed, self.typed = table.place, table.closed, table.typed
        self.stamps = table.stamps
        self.columns: Sequence[str] = [*table.columns, *self._partition]

    @property
    def headers_left_out(self) -> int:
        """As the file's own."""
        return self._table.headers_left_out

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """As the file's own, with what its folders say in each."""
        inside = [name for name in wanted if name not in self._partition]
        if len(inside) == len(wanted):
            yield from self._table.rows(wanted)
            return
        places = {name: at for at, name in enumerate(inside)}
        for number, cells in self._table.rows(inside or self._table.columns[:1]):
            if isinstance(cells, EventRejected):
                yield number, cells
            else:
                yield (
                    number,
                    [
                        self._partition[name] if name in self._partition else cells[places[name]]
                        for name in wanted
                    ],
                )
