"""One batch of the outbox: rows that are sent together and removed together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from everfresh.streaming.outbox.rows import OutboxRow, decode_outbox_row, row_key
from everfresh.streaming.state.store import PartitionStore

_PAGE_ROWS = 32  # some megabytes, by windows.part_bytes


class OutboxBatch:
    """Rows to deliver, read as they are asked for: a slice of many users is large."""

    def __init__(self, store: PartitionStore, number: int) -> None:
        self._store = store
        self._number = number

    def __iter__(self) -> Iterator[OutboxRow]:
        """All rows, in order."""
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[list[OutboxRow]]:
        """The same, up to 32 at a time."""
        for first in count(0, _PAGE_ROWS):
            keys = [row_key(self._number, first + row) for row in range(_PAGE_ROWS)]
            values = self._store.get_many(keys)
            rows = [decode_outbox_row(raw) for raw in values if raw is not None]
            if rows:
                yield rows
            if len(rows) < _PAGE_ROWS:
                return
