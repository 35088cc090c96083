"""How often and when the items of a vocabulary were sighted: three numbers for each slot."""

from __future__ import annotations

from array import array

import msgspec
import numpy as np
import numpy.typing as npt

from everfresh.model.row_changes import RowChange

Ints = npt.NDArray[np.int64]
ItemRows = Ints
"""Rows of the item table."""


class Sightings(msgspec.Struct, array_like=True):
    """How often an item was sighted, and in which windows (labels) first and last."""

    count: int
    first: int
    last: int


class SightingTable:
    """Slots from 0, in columns that grow; a slot without an item has zeros."""

    def __init__(self) -> None:
        self._columns = array("q"), array("q"), array("q")

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, slot: int) -> Sightings:
        return Sightings(*(column[slot] for column in self._columns))

    def put(self, slot: int, seen: Sightings) -> None:
        """Write a slot; the first one beyond the end is made."""
        numbers = (seen.count, seen.first, seen.last)
        for column, number in zip(self._columns, numbers, strict=True):
            if slot == len(column):
                column.append(number)
            else:
                column[slot] = number

    def sight(self, slot: int, label: int) -> None:
        """Once more, in window ``label``."""
        self._columns[0][slot] += 1
        self._columns[2][slot] = label

    def count(self, slot: int) -> int:
        """How often this slot's item was sighted."""
        return self._columns[0][slot]

    def counts(self) -> Ints:
        """The same of all slots."""
        return np.array(self._columns[0], np.int64)

    def last(self) -> Ints:
        """The window in which each slot's item was sighted last."""
        return np.array(self._columns[2], np.int64)

    def table(self) -> Ints:
        """All three as columns, ``(slots, 3)``."""
        return np.stack([np.array(column, np.int64) for column in self._columns], axis=1)

    def take(self, change: RowChange) -> None:
        """Overwrite rows of :meth:`table`; ``ValueError`` where they are no such rows.

        ``CorruptVersion`` where rows beyond these are said to be there, and are not.
        """
        change.require_brought(len(self))
        for column, values in zip(self._columns, change.data.T, strict=True):
            column.frombytes(bytes(8 * (change.shape[0] - len(column))))
            rows = slice(None) if change.rows is None else change.rows
            np.frombuffer(column, np.int64)[rows] = values

    @classmethod
    def of(cls, table: Ints) -> SightingTable:
        """The inverse of :meth:`table`."""
        made = cls()
        made.take(RowChange(table.shape, None, table))
        return made
