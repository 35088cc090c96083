"""All items of the catalogue: their attributes in columns, and which of them may be shown now."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Item, ItemChange, Value
from everfresh.contracts.items.rules import Scalar
from everfresh.serving.items.columns import (
    FIRST,
    NOTHING,
    UNLISTED,
    Cells,
    Labels,
    Numbers,
    is_kept,
    label_of,
    value_of,
)

MOST_NAMES = 256
"""Attributes that all items together have."""
_HORIZON_MS = 60_000
_ROOM = 1_024


class ItemTable:
    """Written by one thread at a time. A record's cost does not grow with the number of items."""

    def __init__(self, most: int, *, unlisted: bool) -> None:
        self._most = most
        self._slots: dict[ItemId, int] = {}
        self._items: list[ItemId] = []
        self._room = _ROOM
        self._open = Cells(np.bool_, False, self._room)
        self.live = Cells(np.bool_, False, self._room)
        self.live.values[UNLISTED] = unlisted
        self.numbers: dict[str, Numbers] = {
            name: Numbers(self._room) for name in ("published", "expires")
        }
        self.labels: dict[str, Labels] = {}
        self._now = 0
        self._looked_to = 0
        self._due: list[tuple[float, int]] = []
        self.due_ms = 0.0
        """Until then, nothing changes by time alone."""

    def __len__(self) -> int:
        """Items that there is a record of, removed ones among them."""
        return len(self._slots)

    @property
    def end(self) -> int:
        """The slot after the last."""
        return FIRST + len(self._slots)

    def slot(self, item: ItemId) -> int:
        """The item's slot, ``UNLISTED`` where it has no record."""
        return self._slots.get(item, UNLISTED)

    def slots_of(self, items: Iterable[ItemId | None]) -> list[int]:
        """The slots of these; ``NOTHING`` for ``None``."""
        get = self._slots.get
        return [NOTHING if item is None else get(item, UNLISTED) for item in items]

    def put(self, change: ItemChange) -> int | None:
        """Take a record in; its slot, or ``None`` where there is no room for it."""
        item, slot = change.item, self._slots.get(change.id)
        if item is not None and not self._has_room(item):
            return None
        if slot is None:
            if len(self._slots) >= self._most:
                return None
            slot = self._slots[change.id] = FIRST + len(self._slots)
            self._items.append(change.id)
            if slot >= self._room:
                self._grow()
        for numbers in self.numbers.values():
            numbers.clear(slot)
        for labels in self.labels.values():
            labels.clear(slot)
        self._open.values[slot] = item is not None and item.available
        if item is not None:
            self._put(slot, item)
        self._judge(slot)
        return slot

    def advance(self, now_ms: int) -> list[tuple[ItemId, int]]:
        """Let time pass; the items, with their slots, that may be shown now, or no longer."""
        if now_ms < self.due_ms:
            return []
        self._now = max(self._now, now_ms)
        if self._now >= self._looked_to:
            self._look_ahead()
        changed = list[tuple[ItemId, int]]()
        while self._due and self._due[0][0] <= self._now:
            slot = heapq.heappop(self._due)[1]
            before = bool(self.live.values[slot])
            self.live.values[slot] = self._is_live(slot)
            if before != self.live.values[slot]:
                changed.append((self._items[slot - FIRST], slot))
        self.due_ms = min(self._due[0][0] if self._due else np.inf, self._looked_to)
        return changed

    def described(self, item: ItemId, attributes: Iterable[str]) -> dict[str, Value]:
        """What is kept of these attributes of an item, where it has them."""
        slot, said = self.slot(item), dict[str, Value]()
        if slot < FIRST:
            return said
        for name in attributes:
            if name in self.labels and (labels := self.labels[name].at(slot)):
                values = [value_of(label) for label in labels]
                said[name] = (
                    values[0]
                    if len(values) == 1
                    else [value for value in values if not isinstance(value, bool)]
                )
            elif name in self.numbers and not np.isnan(self.numbers[name].values[slot]):
                said[name] = float(self.numbers[name].values[slot])
        return said

    def _has_room(self, item: Item) -> bool:
        names = self.numbers.keys() | self.labels.keys()
        return len(names | item.attributes.keys()) <= MOST_NAMES

    def _put(self, slot: int, item: Item) -> None:
        for name, at in (("published", item.published), ("expires", item.expires)):
            if at is not None:
                self.numbers[name].values[slot] = at
        for name, value in item.attributes.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                if name not in self.numbers:
                    self.numbers[name] = Numbers(self._room)
                self.numbers[name].values[slot] = value
            else:
                labels: list[Scalar] = list(value) if isinstance(value, list) else [value]
                if name not in self.labels:
                    self.labels[name] = Labels(self._room)
                self.labels[name].put(slot, [label_of(each) for each in labels if is_kept(each)])

    def _judge(self, slot: int) -> None:
        """Whether it may be shown now, and when that may change."""
        self.live.values[slot] = self._is_live(slot)
        for name in ("published", "expires"):
            at = float(self.numbers[name].values[slot])
            if self._now < at < self._looked_to:
                heapq.heappush(self._due, (at, slot))
                self.due_ms = min(self.due_ms, at)

    def _is_live(self, slot: int) -> bool:
        published, expires = (self.numbers[name].values[slot] for name in ("published", "expires"))
        # What is nan is not set: no comparison with it holds.
        return bool(self._open.values[slot]) and not (published > self._now or expires <= self._now)

    def _look_ahead(self) -> None:
        """Find what changes soon, in one go over all: once a minute, and only then."""
        before, self._looked_to = self._looked_to, self._now + _HORIZON_MS
        for name in ("published", "expires"):
            times = self.numbers[name].values[: self.end]
            soon = np.flatnonzero((times >= before) & (times < self._looked_to))
            self._due += zip(times[soon].tolist(), soon.tolist(), strict=True)
        heapq.heapify(self._due)

    def _grow(self) -> None:
        self._room *= 2
        self._open.grow(self._room)
        self.live.grow(self._room)
        for numbers in self.numbers.values():
            numbers.grow(self._room)
        for labels in self.labels.values():
            labels.grow(self._room)
