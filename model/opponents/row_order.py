"""Rows in order of a level that changes for few of them at a time, and the place of any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from everfresh.model.opponents.fading import Levels, Rows

Keys = npt.NDArray[np.complex128]
"""A row's place in the order; numpy orders complex numbers by the real part, then the imaginary."""

_SHARE, _FEWEST = 32, 1_024


def keys_of(levels: Levels, rows: Rows) -> Keys:
    """Higher levels first, of equal ones the lower row: the item that was sighted earlier."""
    keys: Keys = np.empty(len(rows), np.complex128)
    keys.real, keys.imag = -levels, rows
    return keys


class RowOrder:
    """Sorted keys, and beside them what has come and gone since they were sorted.

    The second is kept to a 32nd of the first and then merged into it, so that a change costs an
    amortised constant and never a pass over all rows by itself.
    """

    def __init__(self, keys: Keys) -> None:
        self._sorted = np.sort(keys)
        self._gone: Keys = np.zeros(0, np.complex128)
        self._come: Keys = np.zeros(0, np.complex128)

    def change(self, gone: Keys, come: Keys) -> None:
        """Take keys out that are there, and put others in."""
        # A stable sort merges what is in order already.
        self._gone = np.sort(np.concatenate([self._gone, np.sort(gone)]), kind="stable")
        self._come = np.sort(np.concatenate([self._come, np.sort(come)]), kind="stable")
        if len(self._gone) + len(self._come) > max(_FEWEST, len(self._sorted) // _SHARE):
            self._merge()

    def _merge(self) -> None:
        merged = np.sort(np.concatenate([self._sorted, self._come]), kind="stable")
        first = np.searchsorted(self._gone, self._gone)
        again = np.arange(len(self._gone)) - first  # a key may have come and gone more than once
        leaving = np.searchsorted(merged, self._gone) + again
        self._sorted = np.delete(merged, leaving)
        self._gone, self._come = self._gone[:0], self._come[:0]

    def ahead(self, keys: Keys) -> Rows:
        """How many rows stand before each of these."""
        before = np.searchsorted(self._sorted, keys) + np.searchsorted(self._come, keys)
        out: Rows = before - np.searchsorted(self._gone, keys)
        return out
