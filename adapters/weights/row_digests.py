"""The digest of a table, kept up by the rows that change: a hash tree over blocks of its rows.

A leaf is the sha256 of as many whole rows as fit into ``LEAF_BYTES`` (one at least); a node is the
sha256 of up to ``ARITY`` digests below it. A file's root is the sha256 of its header and of the
root of each tensor, so it names every tensor, its type, its shape, and by its place each row. The
tree's form follows from the header, so that a node never passes for a leaf. Two files with one root
would need a collision of sha256: a root proves the bytes as a sha256 of the whole file does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from everfresh.contracts.safetensors import (
    TableFile,
    TensorPlace,
    data_start,
    declared_places,
    tensor_places,
)

SCHEME = b"everfresh.rows/1\n"
LEAF_BYTES, ARITY = 1024, 32
_DIGEST = 32
_EACH = 1024  # leaves, or some milliseconds, between two rests

Rows = npt.NDArray[np.int64]
Buffer = bytes | bytearray | memoryview
Rest = Callable[[], None]
"""Called often while much is hashed, for what else wants the processor."""


class TableDigests:
    """The tree of one tensor."""

    def __init__(self, place: TensorPlace) -> None:
        self._kind = (place.dtype, place.shape[1:])
        self.rows, self._row_bytes = 0, place.row_bytes
        self._each = max(1, LEAF_BYTES // max(1, place.row_bytes))
        self._levels: list[bytearray] = [bytearray()]
        self.root = hashlib.sha256().digest()

    def follows(self, place: TensorPlace) -> bool:
        """Whether such a tensor may be this one, with other rows or more of them."""
        alike = self._kind == (place.dtype, place.shape[1:])
        return alike and self._row_bytes == place.row_bytes and self.rows <= place.rows

    def update(
        self, data: Buffer, rows: int, touched: Rows | None, rest: Rest = lambda: None
    ) -> Rows:
        """Take in that the tensor's bytes are ``data`` now; returns the rows that may differ.

        Reads those of ``touched``, which ascend, and beyond the former ``rows`` alone. ``None``
        reads all, and returns those whose leaf differs.
        """
        leaves = -(-rows // self._each)
        if touched is None:
            before = bytes(self._levels[0])
            self._hash(data, np.arange(leaves), rest)
            now = np.frombuffer(bytes(self._levels[0]), f"V{_DIGEST}")
            known = np.frombuffer(before, f"V{_DIGEST}")
            common = min(len(known), len(now))
            changed = np.append(
                np.flatnonzero(known[:common] != now[:common]), np.arange(common, len(now))
            )
            of_leaves = changed[:, None] * self._each + np.arange(self._each)
            touched = of_leaves.ravel()[of_leaves.ravel() < rows]
        else:
            touched = touched[touched < rows]
            if rows > self.rows:
                touched = _once(np.sort(np.append(touched, np.arange(self.rows, rows))))
            changed = _once(touched // self._each)
            self._hash(data, changed, rest)
        self._raise(changed)
        self.rows = rows
        return touched

    def _hash(self, data: Buffer, leaves: Rows, rest: Rest) -> None:
        width, level = self._each * self._row_bytes, self._levels[0]
        _reach(level, int(leaves[-1]) + 1 if len(leaves) else 0)
        view, sha256 = memoryview(data), hashlib.sha256
        for begin in range(0, len(leaves), _EACH):
            for leaf in leaves[begin : begin + _EACH].tolist():
                at = leaf * _DIGEST
                level[at : at + _DIGEST] = sha256(
                    view[leaf * width : leaf * width + width]
                ).digest()
            if begin + _EACH < len(leaves):
                rest()

    def _raise(self, changed: Rows) -> None:
        """Renew all nodes above these leaves."""
        height, width = 0, ARITY * _DIGEST
        while (below := self._levels[height]) and len(below) > _DIGEST:
            if height + 1 == len(self._levels):
                self._levels.append(bytearray())
                changed = np.arange(-(-len(below) // _DIGEST))
            above = self._levels[height + 1]
            changed = _once(changed // ARITY)
            _reach(above, -(-len(below) // width))
            for node in changed.tolist():
                at = node * _DIGEST
                children = bytes(below[node * width : node * width + width])
                above[at : at + _DIGEST] = hashlib.sha256(children).digest()
            height += 1
        self.root = bytes(self._levels[height]) or hashlib.sha256().digest()


class FileDigests:
    """The trees of a file's tensors, and its root."""

    def __init__(self) -> None:
        self._tables: dict[str, TableDigests] = {}
        self.root = ""

    def update(
        self,
        header: bytes,
        data: Mapping[str, Buffer],
        touched: Mapping[str, Rows | None],
        rest: Rest = lambda: None,
    ) -> dict[str, Rows | None]:
        """Take in that the file's header and tensors are these now.

        Returns for each tensor the rows that may differ, ``None`` where it is another one.
        """
        changes: dict[str, Rows | None] = {}
        places = declared_places(header)
        self._tables = {name: tree for name, tree in self._tables.items() if name in places}
        for name, place in places.items():
            tree = self._tables.get(name)
            if tree is None or not tree.follows(place):
                tree = self._tables[name] = TableDigests(place)
                tree.update(data[name], place.rows, None, rest)
                changes[name] = None
            else:
                changes[name] = tree.update(data[name], place.rows, touched[name], rest)
        self.root = hashlib.sha256(
            SCHEME + header + b"".join(self._tables[name].root for name in sorted(places))
        ).hexdigest()
        return changes

    def take_in(self, file: TableFile) -> dict[str, Rows | None]:
        """The same of a file as its owner has it."""
        touched = {
            name: None if tensor.touched is None else np.frombuffer(tensor.touched, np.int64)
            for name, tensor in file.tensors.items()
        }
        data = {name: tensor.data for name, tensor in file.tensors.items()}
        return self.update(file.header, data, touched)

    @classmethod
    def of(cls, raw: bytes | memoryview) -> FileDigests:
        """Of a whole safetensors file; ``ValueError`` where it is none, or has more bytes."""
        view, places = memoryview(raw), tensor_places(raw)
        start = data_start(raw)
        if max((place.end for place in places.values()), default=start) != len(view):
            raise ValueError("more bytes than its header says")
        made = cls()
        data = {name: view[place.begin : place.end] for name, place in places.items()}
        made.update(bytes(view[:start]), data, dict.fromkeys(places))
        return made


def beside(rows: Rows, row_bytes: int, count: int) -> Rows:
    """All rows, of ``count``, that share a leaf with one of ``rows``."""
    each = max(1, LEAF_BYTES // max(1, row_bytes))
    all_of = _once(rows // each)[:, None] * each + np.arange(each)
    found: Rows = all_of.ravel()[all_of.ravel() < count]
    return found


def _once(ascending: Rows) -> Rows:
    """Each number once; ``np.unique`` takes many times longer for what is in order already."""
    first = np.append(True, ascending[1:] != ascending[:-1])[: len(ascending)]
    once: Rows = ascending[first]
    return once


def _reach(level: bytearray, digests: int) -> None:
    missing = digests * _DIGEST - len(level)
    if missing > 0:
        level.extend(bytes(missing))
