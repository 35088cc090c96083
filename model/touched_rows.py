"""Which rows of a table were written to since its last version, and tensors as a version has them.

A version keeps the rows that changed, and finding them by comparing tables would cost the
catalogue. So whoever writes to a row of a table says so. Naming a row that did not change costs its
bytes; a row that changed and is not named is lost to those that follow the deltas.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from everfresh.contracts.safetensors import TableBytes

Ints = npt.NDArray[np.int64]

_DTYPES = {"f4": "F32", "f8": "F64", "i8": "I64", "i4": "I32", "u1": "U8"}
_MANY = 4_096


class TouchedRows:
    """Since a version with ``rows`` rows: what was written to, and all rows beyond."""

    def __init__(self, rows: int = 0) -> None:
        self._since = rows
        self._single: set[int] = set()
        self._parts: list[Ints] = []

    def add(self, row: int) -> None:
        """One that was written to."""
        self._single.add(row)

    def extend(self, rows: Ints | Iterable[int]) -> None:
        """These were written to."""
        self._parts.append(
            rows.astype(np.int64) if isinstance(rows, np.ndarray) else np.fromiter(rows, np.int64)
        )
        if len(self._parts) > _MANY:
            self._parts = [self._all()]

    def rows(self, now: int) -> Ints:
        """All of them, ascending, in a table that has ``now`` rows."""
        known = self._all()
        beyond = np.arange(self._since, now)
        return np.concatenate([known[: np.searchsorted(known, min(self._since, now))], beyond])

    def begin(self, rows: int) -> None:
        """A version with so many rows was written, or read: nothing is touched yet."""
        self._since = rows
        self._single.clear()
        self._parts.clear()

    def _all(self) -> Ints:
        single = np.fromiter(self._single, np.int64, len(self._single))
        return np.unique(np.concatenate([single, *self._parts]))


def table_bytes(tensor: npt.NDArray[Any], touched: Ints | None = None) -> TableBytes:
    """A tensor where it is, or a copy where its rows do not lie end to end."""
    whole = np.ascontiguousarray(tensor)
    dtype = _DTYPES[whole.dtype.str[1:]]
    rows = None if touched is None else np.ascontiguousarray(touched).view(np.uint8).data
    return TableBytes(dtype, tensor.shape, whole.reshape(-1).view(np.uint8).data, rows)
