"""How a tensor of one version became that of the next: rows that are overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from everfresh.contracts.errors import CorruptVersion


@dataclass(frozen=True)
class RowChange:
    """``data`` are the new contents of ``rows``, or of the whole tensor where that is ``None``.

    ``shape`` is the tensor's afterwards; rows beyond its former length are all among ``rows``,
    which ascend.
    """

    shape: tuple[int, ...]
    rows: npt.NDArray[np.int64] | None
    data: npt.NDArray[Any]

    def __post_init__(self) -> None:
        first = self.shape[0] if self.shape else 1
        if self.rows is None:
            fits = self.data.shape == self.shape
        else:
            fits = self.data.shape == (len(self.rows), *self.shape[1:])
            fits = fits and (not len(self.rows) or int(self.rows[-1]) < first)
            fits = fits and not (self.rows[1:] <= self.rows[:-1]).any()
        if not fits:
            raise CorruptVersion(
                f"changed rows do not fit a tensor of shape {self.shape}; take another version"
            )

    def require_brought(self, had: int) -> None:
        """``CorruptVersion`` unless all rows beyond the ``had`` former ones are among ``rows``.

        To be called before room is made: what a change says of its length costs it nothing.
        """
        if self.rows is None or not self.shape:
            return
        brought = len(self.rows) - int(np.searchsorted(self.rows, had))
        if self.shape[0] - had > brought:
            raise CorruptVersion(
                f"changed rows are said to lead from {had:,} rows to {self.shape[0]:,}, and bring "
                f"{brought:,} new ones; take another version"
            )

    def of(self, before: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The tensor afterwards, as an array of its own; ``ValueError`` where it is of another
        width."""
        if self.rows is None:
            return self.data.copy()
        if self.shape[1:] != before.shape[1:]:
            raise ValueError(f"rows of {self.shape} do not follow {before.shape}")
        self.require_brought(len(before))
        kept = min(len(before), self.shape[0])
        after = np.zeros(self.shape, self.data.dtype)
        after[:kept] = before[:kept]
        after[self.rows] = self.data
        return after


RowChanges = Mapping[str, RowChange]
"""Changes by name of the tensor."""


def require_names(changes: RowChanges, names: set[str], what: str) -> None:
    """``CorruptVersion`` unless exactly these tensors are named."""
    if odd := sorted(changes.keys() ^ names):
        raise CorruptVersion(
            f"{what}: the tensors of this release were expected; first misfit {odd[0]}"
        )
