"""Which item stands in which slot, also as two tables, so that one slot changes one row of each.

    kinds  U8 (n,)        length of a text in bytes, or NUMBER, LONG or FREE
    ids    U8 (n, width)  the text, or a number's eight bytes (little-endian); zeros beyond

``width`` follows the longest text so far, up to ``WIDEST``; longer ones stand apart, in ``long``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from everfresh.contracts.event import ItemId
from everfresh.model.row_changes import RowChange

WIDEST = 40
"""A UUID's text fits. One very long id must not widen a million slots."""
NUMBER, LONG, FREE = 255, 254, 253

ByteArray = npt.NDArray[np.uint8]
_NUMBER_BYTES = 8


class ItemIds:
    """Slots from 0; a free one holds no item. ``items`` is not to be written to."""

    def __init__(self) -> None:
        self.items: list[ItemId | None] = []
        self.long: dict[int, str] = {}
        self._kinds = np.zeros(0, np.uint8)
        self._ids = np.zeros((0, _NUMBER_BYTES), np.uint8)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def kinds(self) -> ByteArray:
        """A view, until the next change."""
        return self._kinds[: len(self.items)]

    @property
    def ids(self) -> ByteArray:
        """A view, until the next change."""
        return self._ids[: len(self.items)]

    def put(self, slot: int, item: ItemId | None) -> None:
        """Fill or empty a slot; the first one beyond the end is made."""
        if slot == len(self.items):
            self.items.append(None)
            self._make_room(len(self.items), self._ids.shape[1])
        self.items[slot] = item
        self.long.pop(slot, None)
        kind, raw = _packed(item)
        if kind == LONG:
            assert isinstance(item, str), "only texts are long"
            self.long[slot] = item
        if len(raw) > self._ids.shape[1]:
            self._make_room(len(self.items), -(-len(raw) // 8) * 8)
        self._kinds[slot] = kind
        self._ids[slot] = 0
        self._ids[slot, : len(raw)] = np.frombuffer(raw, np.uint8)

    def _make_room(self, slots: int, width: int) -> None:
        had, wide = self._ids.shape
        if slots > had or width > wide:
            room = max(had, slots + slots // 8 + 8 if slots > had else had)
            ids = np.zeros((room, width), np.uint8)
            ids[:had, :wide] = self._ids
            kinds = np.zeros(room, np.uint8)
            kinds[:had] = self._kinds
            self._ids, self._kinds = ids, kinds

    def take(
        self, kinds: RowChange, ids: RowChange, long: dict[int, str]
    ) -> tuple[list[int], list[ItemId | None], list[ItemId | None]]:
        """Overwrite what changed: the slots, with their items before and after.

        ``ValueError`` or ``CorruptVersion`` where it does not fit; then this one is of no more use.
        """
        slots, width = ids.shape
        alike = width == self._ids.shape[1] or ids.rows is None
        if kinds.shape != (slots,) or slots < len(self) or not alike:
            raise ValueError(f"{slots} slots of {width} bytes do not follow {len(self)} slots")
        for change in (kinds, ids):
            change.require_brought(len(self))
        touched = {
            slot for slot in self.long.keys() | long if self.long.get(slot) != long.get(slot)
        }
        for change in (kinds, ids):
            touched |= set(range(slots) if change.rows is None else change.rows.tolist())
        self._make_room(slots, width)
        self._ids = self._ids[:, :width]
        for table, change in ((self._kinds, kinds), (self._ids, ids)):
            table[slice(slots) if change.rows is None else change.rows] = change.data
        self.items.extend([None] * (slots - len(self)))
        self.long = long
        at = sorted(touched)
        before = [self.items[slot] for slot in at]
        after = read_ids(self._kinds[at], self._ids[at], long, at)
        for slot, item in zip(at, after, strict=True):
            self.items[slot] = item
        return at, before, after

    @classmethod
    def of(cls, kinds: ByteArray, ids: ByteArray, long: dict[int, str]) -> ItemIds:
        """Read back from tables, which are copied; ``ValueError`` where they do not fit."""
        made = cls()
        made.items = read_ids(kinds, ids, long, range(len(kinds)))
        made.long = dict(long)
        made._kinds, made._ids = kinds.copy(), ids.copy()
        return made


def read_ids(
    kinds: ByteArray, ids: ByteArray, long: dict[int, str], slots: Sequence[int]
) -> list[ItemId | None]:
    """Items of rows of both tables, which stand for ``slots``; ``ValueError`` where they misfit."""
    width = ids.shape[1]
    if width < _NUMBER_BYTES or len(ids) != len(kinds):
        raise ValueError(f"slots of {_NUMBER_BYTES} bytes and more were expected")
    numbers: list[ItemId | None] = (
        np.ascontiguousarray(ids[:, :_NUMBER_BYTES]).view("<i8").ravel().tolist()
    )
    if (kinds == NUMBER).all():
        return numbers
    raw = ids.tobytes()
    out: list[ItemId | None] = []
    for at, (kind, slot) in enumerate(zip(kinds.tolist(), slots, strict=True)):
        if kind == NUMBER:
            out.append(numbers[at])
        elif kind == FREE:
            out.append(None)
        elif kind == LONG:
            if slot not in long:
                raise ValueError(f"the long id of slot {slot} is missing")
            out.append(long[slot])
        elif kind <= width:
            out.append(raw[at * width : at * width + kind].decode())
        else:
            raise ValueError(f"no kind of id is {kind}")
    return out


def _packed(item: ItemId | None) -> tuple[int, bytes]:
    if item is None:
        return FREE, b""
    if isinstance(item, int):
        return NUMBER, item.to_bytes(_NUMBER_BYTES, "little", signed=True)
    raw = item.encode()
    return (len(raw), raw) if len(raw) <= WIDEST else (LONG, b"")
