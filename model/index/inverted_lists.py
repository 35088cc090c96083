"""Inverted lists: each row is in the list of its nearest centroid, and a request looks at some.

They are tensors of a version, beside its weights. So what an answer looks at follows from the
version that it names (law 7), whichever replica makes it; and a version brings the rows whose list
changed, no others. Centroids stay for many versions. A catalogue below ``weights.index_from`` has
none, and a version whose lists find too little says that it is answered exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.safetensors import TableBytes
from everfresh.model.row_changes import RowChanges
from everfresh.model.touched_rows import Ints, TouchedRows, table_bytes
from everfresh.model.weights import lengthen, overwrite

PREFIX = "index."
LOOKS = (4_096, 8_192, 12_288, 16_384)
"""Numbers of rows that a request may look at."""
_KINDS = {
    "centroids": (torch.float32, 2),
    "of": (torch.int32, 1),
    "recalls": (torch.float32, 1),
    "look": (torch.int64, 0),
    "fitted": (torch.int64, 1),
}
_ROWS = "of"
_MOST_LISTS = 2**16
_NONE: Ints = np.zeros(0, np.int64)


class InvertedLists:
    """Empty until :meth:`fit`. A trainer changes them once a version, a replica by :meth:`take`.

    ``centroids`` ``(lists, dim)`` are unit vectors and ``of`` ``(rows,)`` is each row's list.
    ``recalls`` ``(len(LOOKS),)`` are what looking at so many rows has found lately, ``look`` is
    the number of rows that requests look at, 0 for all. ``fitted`` holds the number of items when
    the centroids were found, and of versions since.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}
        self._touched = TouchedRows()
        self._fitted_anew = False
        self._by_list: tuple[npt.NDArray[np.int32], Ints] | None = None

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], rows: int, what: str) -> InvertedLists:
        """From the tensors of a version, :data:`PREFIX` before their names, where they are; empty
        where there are none. ``CorruptVersion`` where they do not fit."""
        lists = cls()
        found = {n.removeprefix(PREFIX): t for n, t in tensors.items() if n.startswith(PREFIX)}
        if not found:
            return lists
        kinds = {name: (tensor.dtype, tensor.dim()) for name, tensor in found.items()}
        if kinds != _KINDS:
            raise CorruptVersion(f"{what}: an index of another form; take another version")
        lists._tensors = found
        lists._require_sound(rows, what, found[_ROWS].numpy())
        lists.begin_version()
        return lists

    def __len__(self) -> int:
        """Rows, 0 where there is no index."""
        return len(self._tensors[_ROWS]) if self._tensors else 0

    @property
    def look(self) -> int:
        """Rows that a request looks at; 0: all, and the answer is exact."""
        return int(self._tensors["look"]) if self._tensors else 0

    @property
    def centroids(self) -> npt.NDArray[np.float32]:
        """``(lists, dim)``."""
        centroids: npt.NDArray[np.float32] = self._tensors["centroids"].numpy()
        return centroids

    @property
    def recalls(self) -> npt.NDArray[np.float32]:
        """What each of :data:`LOOKS` has found lately; below 0 before it was measured."""
        recalls: npt.NDArray[np.float32] = self._tensors["recalls"].numpy()
        return recalls

    @property
    def fitted(self) -> tuple[int, int]:
        """Items when the centroids were found, and versions since."""
        items, versions = self._tensors["fitted"].tolist()
        return items, versions

    def figures(self) -> dict[str, float]:
        """The rows that requests look at, 0 for all, and what share of the ten best they find."""
        look = self.look
        return {
            "index_look": look,
            "index_recall": float(self.recalls[LOOKS.index(look)]) if look else 1.0,
        }

    def tensors(self) -> dict[str, Tensor]:
        """All of them, by the names that a version has; none where there is no index."""
        return {f"{PREFIX}{name}": tensor for name, tensor in self._tensors.items()}

    def tables(self) -> dict[str, TableBytes]:
        """The same as a version keeps them, where they are."""
        touched = {_ROWS: self._touched.rows(len(self._tensors[_ROWS]))} if self else {}
        if not self._fitted_anew:
            touched["centroids"] = _NONE
        return {
            f"{PREFIX}{name}": table_bytes(tensor.numpy(), touched.get(name))
            for name, tensor in self._tensors.items()
        }

    def begin_version(self) -> None:
        """A version holds all that is here; from now on only what is touched differs."""
        self._touched.begin(len(self._tensors[_ROWS]) if self else 0)
        self._fitted_anew = False

    def own(self) -> None:
        """Copy what others may be using."""
        self._tensors = {name: tensor.clone() for name, tensor in self._tensors.items()}

    def grow(self, rows: int) -> None:
        """Make room for so many rows; new ones are in the first list until they are put."""
        if self._tensors and rows > len(self._tensors[_ROWS]):
            self._tensors[_ROWS] = lengthen(self._tensors[_ROWS], rows)
            self._by_list = None

    def clear(self) -> None:
        """Have no index any more."""
        self._tensors, self._by_list = {}, None

    def fit(self, centroids: Tensor, of: Ints, items: int) -> None:
        """Begin anew with these lists."""
        self._tensors = {
            "centroids": centroids,
            "of": torch.from_numpy(of.astype(np.int32)),
            "recalls": torch.full((len(LOOKS),), -1.0),
            "look": torch.tensor(0),
            "fitted": torch.tensor([items, 0]),
        }
        self._touched.begin(0)
        self._fitted_anew, self._by_list = True, None

    def put(self, rows: Ints, of: Ints) -> None:
        """These rows are in these lists now; for the next version, with the same centroids."""
        known = self._tensors[_ROWS].numpy()
        moved = known[rows] != of
        known[rows[moved]] = of[moved]
        self._touched.extend(rows[moved])
        self._tensors["fitted"] = self._tensors["fitted"] + torch.tensor([0, 1])
        self._by_list = None

    def judge(self, recalls: npt.NDArray[np.float32], look: int) -> None:
        """What looking at :data:`LOOKS` rows finds, and the number that requests look at."""
        self._tensors["recalls"] = torch.from_numpy(recalls)
        self._tensors["look"] = torch.tensor(look)

    def take(self, changes: RowChanges, rows: int, what: str) -> None:
        """Become the next version's, of so many rows; ``changes`` by the names of
        :meth:`tensors`."""
        for name, tensor in self._tensors.items():
            overwrite(tensor, changes[f"{PREFIX}{name}"], what)
        if self._tensors:
            self._require_sound(rows, what, changes[f"{PREFIX}{_ROWS}"].data)
            self._by_list = None

    def near(self, user: npt.NDArray[np.float32], look: int) -> Ints:
        """At least ``look`` rows, where there are so many: those of the lists nearest to a user
        vector ``(dim,)``, each row once. Row 0 is none of them."""
        rows, ends = self.by_list()
        likeness = self.centroids @ user
        nearest = (-likeness).argsort()
        begins = ends[nearest]
        counts = ends[nearest + 1] - begins
        number = int(np.searchsorted(np.cumsum(counts), look)) + 1
        parts = zip(begins[:number].tolist(), counts[:number].tolist(), strict=True)
        return np.concatenate([_NONE, *(rows[at : at + count] for at, count in parts)])

    def by_list(self) -> tuple[npt.NDArray[np.int32], Ints]:
        """All rows but row 0, list by list, and where each list begins, with the end of the last;
        kept until rows move."""
        kept = self._by_list
        if kept is None:
            of = self._tensors[_ROWS].numpy()[1:].astype(np.uint16)  # numpy sorts these by radix
            counts = np.bincount(of, minlength=len(self.centroids))
            rows = (of.argsort(kind="stable") + 1).astype(np.int32)
            kept = rows, np.append(0, np.cumsum(counts))
            self._by_list = kept
        return kept

    def _require_sound(self, rows: int, what: str, of: npt.NDArray[Any]) -> None:
        lists = len(self._tensors["centroids"])
        sound = (
            len(self._tensors[_ROWS]) == rows
            and 0 < lists <= _MOST_LISTS
            and self._tensors["recalls"].shape == (len(LOOKS),)
            and self._tensors["fitted"].shape == (2,)
            and self.look in {0, *LOOKS}
            and (not of.size or 0 <= int(of.min()) <= int(of.max()) < lists)
        )
        if not sound:
            raise CorruptVersion(
                f"{what}: an index that does not fit {rows:,} rows; take another version"
            )
