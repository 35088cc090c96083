"""What items are, attribute by attribute: arrays with a place for each item.

A record costs what it says, whatever the number of items: texts are kept once and numbered. Slot
0 stands for all items without a record, slot 1 for no item at all; records have those from 2 on.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from everfresh.contracts.items.rules import Scalar

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Slots = npt.NDArray[np.int32]
"""Places in the arrays, one for each item that is asked about."""
Label = str | float | bytes
"""What is numbered: a text, a number of a list, or ``b"true"`` and ``b"false"``."""

UNLISTED, NOTHING, FIRST = 0, 1, 2
LONGEST_KEPT = 200
"""Bytes of a text that is kept: nobody filters by a description."""

_Kind = TypeVar("_Kind", bound=np.generic)


class Cells(Generic[_Kind]):
    """An array that grows by doubling; ``nothing`` fills what was not written."""

    def __init__(self, kind: type[_Kind], nothing: Any, length: int) -> None:
        self._nothing = nothing
        self.values: npt.NDArray[_Kind] = np.full(length, nothing, kind)

    def grow(self, length: int) -> None:
        """Have room for ``length`` cells."""
        more = np.full(length - len(self.values), self._nothing, self.values.dtype)
        self.values = np.concatenate([self.values, more])

    def clear(self, slot: int) -> None:
        """Nothing stands there any more."""
        self.values[slot] = self._nothing


class Numbers(Cells[np.float64]):
    """One number an item; ``nan`` is none. Exact for integers up to 2^53."""

    def __init__(self, length: int) -> None:
        super().__init__(np.float64, np.nan, length)


class Labels:
    """Some labels an item, as numbers: the n-th of each item in the n-th of ``layers``, or 0."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._codes: dict[Label, int] = {}
        self._labels: list[Label | None] = [None]
        self._uses = [0]
        self._free: list[int] = []
        self.layers: list[Cells[np.int32]] = []

    def grow(self, length: int) -> None:
        """Have room for ``length`` items."""
        self._length = length
        for layer in self.layers:
            layer.grow(length)

    def put(self, slot: int, labels: list[Label]) -> None:
        """What stands there now."""
        codes = [self._code(label) for label in dict.fromkeys(labels)]
        self.clear(slot)
        while len(self.layers) < len(codes):
            self.layers.append(Cells(np.int32, 0, self._length))
        for layer, code in zip(self.layers, codes, strict=False):
            layer.values[slot] = code

    def clear(self, slot: int) -> None:
        """Nothing stands there any more; labels that nobody has are forgotten."""
        for layer in self.layers:
            code = int(layer.values[slot])
            if not code:
                return
            layer.clear(slot)
            self._uses[code] -= 1
            if not self._uses[code]:
                label, self._labels[code] = self._labels[code], None
                assert label is not None, "a code in use has a label"
                del self._codes[label]
                self._free.append(code)

    def code(self, label: Label) -> int:
        """The label's number; 0 where no item has it."""
        return self._codes.get(label, 0)

    def at(self, slot: int) -> list[Label]:
        """What stands there."""
        codes = [int(layer.values[slot]) for layer in self.layers]
        return [label for code in codes if code and (label := self._labels[code]) is not None]

    def codes(self, slots: Slots | None) -> list[Codes]:
        """The layers, for these items or for all."""
        return [each.values if slots is None else each.values[slots] for each in self.layers]

    def _code(self, label: Label) -> int:
        code = self._codes.get(label)
        if code is None:
            if self._free:
                code = self._free.pop()
                self._labels[code], self._uses[code] = label, 0
            else:
                code = len(self._labels)
                self._labels.append(label)
                self._uses.append(0)
            self._codes[label] = code
        self._uses[code] += 1
        return code


def label_of(value: Scalar) -> Label:
    """The label that a value of a record or a filter has."""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return float(value) if isinstance(value, int) else value


def value_of(label: Label) -> bool | float | str:
    """The inverse; numbers of lists come back as floats."""
    return label == b"true" if isinstance(label, bytes) else label


def is_kept(value: Any) -> bool:
    """Whether replicas keep a value of a record."""
    return not isinstance(value, str) or len(value.encode()) <= LONGEST_KEPT
