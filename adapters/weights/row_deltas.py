"""Deltas of files whose owner knows the rows that changed: made and applied at these rows' cost.

They have the format of :mod:`everfresh.adapters.weights.deltas`. Where that hashes both whole
files, these name the roots of both (``adapters.weights.row_digests``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from everfresh.adapters.weights.deltas import (
    INDEX_BYTES,
    DeltaName,
    TensorChange,
    encode_tensors,
    read_changes,
)
from everfresh.adapters.weights.tensor_bytes import Bytes, view
from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.safetensors import (
    TableBytes,
    TableFile,
    data_start,
    declared_places,
    tensor_places,
)

Rows = npt.NDArray[np.int64]


def encode_row_delta(
    name: DeltaName, digests: tuple[str, str], file: TableFile, changes: Mapping[str, Rows | None]
) -> bytes:
    """The delta that leads to ``file`` from a parent that differs in the rows ``changes`` alone.

    ``digests`` are those of the parent and of ``file``. ``None`` stands for all rows.
    """
    tensors: dict[str, Bytes] = {}
    for tensor, table in file.tensors.items():
        tensors |= _encode(tensor, table, changes[tensor])
    return encode_tensors(name, file.header, tensors, digests)


def _encode(name: str, table: TableBytes, rows: Rows | None) -> dict[str, Bytes]:
    data = np.frombuffer(table.data, np.uint8)
    width = len(data) // table.shape[0] if table.shape and table.shape[0] else 0
    if rows is None or not width or len(rows) * (width + INDEX_BYTES) >= len(data):
        return {f"full/{name}": data}
    changed = data.reshape(-1, width)[rows]
    return {f"rows/{name}": rows.astype(np.uint32).view(np.uint8), f"data/{name}": changed.ravel()}


class RowFile:
    """A file as its tensors, over which deltas are written; made of ``base``, a whole one.

    ``CorruptVersion`` where that is no safetensors file.
    """

    def __init__(self, base: bytes, what: str) -> None:
        try:
            places, self._header = tensor_places(base), base[: data_start(base)]
        except ValueError as error:
            raise CorruptVersion(f"{what} is no table: {error}") from None
        self._tensors = {
            name: view(base, place.begin, place.end).reshape(place.rows, place.row_bytes)
            for name, place in places.items()
        }
        self._owned: set[str] = set()
        self._kinds = {name: (place.dtype, place.shape[1:]) for name, place in places.items()}

    def apply(self, name: DeltaName, delta: bytes, digests: tuple[str, str]) -> None:
        """Become the next version's. ``WrongParent`` or ``CorruptVersion`` where it does not fit.

        The result is for the caller to verify, once, after the last delta.
        """
        overwrites = read_changes(name, delta, digests)
        for tensor, change in overwrites.changes.items():
            try:
                self._overwrite(tensor, change)
            except (KeyError, ValueError, IndexError) as error:
                raise CorruptVersion(
                    f"the delta of {name.file} from version {name.parent} to {name.version} does "
                    f"not fit its parent: {error}"
                ) from None
        for gone in self._tensors.keys() - overwrites.changes.keys():
            del self._tensors[gone]
        self._header = overwrites.header
        self._kinds = {
            tensor: (change.dtype, change.shape[1:])
            for tensor, change in overwrites.changes.items()
        }

    def _overwrite(self, tensor: str, change: TensorChange) -> None:
        rows = change.shape[0] if change.shape else 1
        if change.rows is None:
            width = len(change.data) // rows if rows else 0
            self._tensors[tensor] = change.data.reshape(rows, width)
            self._owned.discard(tensor)
            return
        before = self._tensors[tensor]
        if self._kinds[tensor] != (change.dtype, change.shape[1:]) or rows < len(before):
            raise ValueError(f"{tensor} is no tensor of the parent with other rows")
        brought = len(change.rows) - int(np.searchsorted(change.rows, len(before)))
        if rows - len(before) > brought:
            raise ValueError(
                f"{tensor} is said to have {rows:,} rows, the parent has {len(before):,}, and "
                f"{brought:,} new ones are here"
            )
        if rows > len(before) or tensor not in self._owned:
            # Room for more: the deltas of a chain each bring a few rows.
            wider = np.empty((rows + rows // 64, before.shape[1]), np.uint8)
            wider[: len(before)] = before
            self._tensors[tensor] = before = wider[:rows]
            self._owned.add(tensor)
        before[change.rows] = change.data

    def to_bytes(self) -> bytes:
        """The whole file."""
        places = declared_places(self._header)
        in_order = sorted(places, key=lambda name: (places[name].begin, places[name].end))
        return b"".join([self._header, *(self._tensors[name].data for name in in_order)])
