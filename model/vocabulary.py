"""The open vocabulary: which item stands in which row, and which action has which code.

An item gets a row at its ``admit_after``-th sighting and loses it when it has not been sighted for
long; the freed row goes to a later newcomer. Between the two a row never moves. The vocabulary
travels together with the weights, so that trainer and replicas cannot disagree on a row.

Row 0 is no item: it stands for padding, and it is the cold row, which every item without a row
shares as context. It is never ranked, recommended or a target.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.errors import CorruptVersion
from contracts.event import ItemId

FORMAT = 2
UNKNOWN = 0
"""The row of padding and of items without a row; the code of actions without one."""
MAX_ACTIONS = 255

Rows = npt.NDArray[np.int64]


class Sightings(msgspec.Struct, array_like=True):
    """How often an item was sighted, and in which windows (labels) first and last."""

    count: int
    first: int
    last: int


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    format: int
    admit_after: int
    actions: list[str]
    items: list[ItemId | None]
    sightings: list[Sightings]
    waiting: list[tuple[ItemId, Sightings]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Stored)


class Vocabulary:
    """Items with their rows and sightings, and action names with their codes.

    Changes only through :meth:`admit`, :meth:`expire` and :meth:`admit_actions`; the same calls in
    the same order give the same rows and the same bytes.
    """

    def __init__(self, admit_after: int = 1) -> None:
        self.admit_after = admit_after
        # Slot n is row n + 1; a free row holds no item, and sightings of nothing.
        self._items: list[ItemId | None] = []
        self._seen: list[Sightings] = []
        self._rows: dict[ItemId, int] = {}
        self._free: list[int] = []
        self._waiting: dict[ItemId, Sightings] = {}
        self._actions: dict[str, int] = {}
        self._popular: tuple[Rows, int] | None = None
        self._oldest = 0  # nothing was last sighted before this window

    def __len__(self) -> int:
        """Number of items that have a row."""
        return len(self._rows)

    def __contains__(self, item: ItemId) -> bool:
        return item in self._rows

    @property
    def rows(self) -> int:
        """Rows of the item table: row 0, those of items, and free ones."""
        return len(self._items) + 1

    def admit(self, items: Iterable[ItemId], label: int = 0) -> int:
        """Count one sighting per item, in order, in window ``label``; return how many got a row.

        An item gets a row at its ``admit_after``-th sighting and keeps its earlier count: the
        lowest free row, or the next one where none is free.
        """
        before = len(self)
        self._popular = None
        for item in items:
            row = self._rows.get(item)
            seen = self._waiting.get(item) if row is None else self._seen[row - 1]
            if seen is None:
                seen = self._waiting[item] = Sightings(0, label, label)
            seen.count += 1
            seen.last = label
            if row is None and seen.count >= self.admit_after:
                self._give_row(item, self._waiting.pop(item))
        return len(self) - before

    def _give_row(self, item: ItemId, seen: Sightings) -> None:
        if self._free:
            row = heapq.heappop(self._free)
            self._items[row - 1], self._seen[row - 1] = item, seen
        else:
            self._items.append(item)
            self._seen.append(seen)
            row = len(self._items)
        self._rows[item] = row

    def expire(self, before: int) -> list[int]:
        """Forget what was last sighted before window ``before``; return the freed rows, ascending.

        A forgotten item is unknown from then on; sighted again, it begins anew.
        """
        if before <= self._oldest:
            return []
        freed = sorted(row for row in self._rows.values() if self._seen[row - 1].last < before)
        for row in freed:
            item = self._items[row - 1]
            assert item is not None, "a row in use holds an item"
            del self._rows[item]
            self._items[row - 1], self._seen[row - 1] = None, Sightings(0, 0, 0)
            heapq.heappush(self._free, row)
        self._waiting = {item: seen for item, seen in self._waiting.items() if seen.last >= before}
        self._popular = None
        self._oldest = before
        return freed

    def admit_actions(self, names: Iterable[str]) -> None:
        """Give each new action name the next code; beyond ``MAX_ACTIONS`` they stay unknown."""
        for name in names:
            if name not in self._actions and len(self._actions) < MAX_ACTIONS:
                self._actions[name] = len(self._actions) + 1

    def row(self, item: ItemId) -> int:
        """The item's row, ``UNKNOWN`` where it has none."""
        return self._rows.get(item, UNKNOWN)

    def item(self, row: int) -> ItemId:
        """The item in ``row``; ``IndexError`` for row 0, a free row and one beyond the table."""
        item = self._items[row - 1] if row >= 1 else None
        if item is None:
            raise IndexError(f"row {row} holds no item")
        return item

    def free_rows(self) -> Rows:
        """Rows between 1 and ``rows`` that hold no item, ascending."""
        return np.asarray(sorted(self._free), dtype=np.int64)

    def item_rows(self) -> Rows:
        """Rows that hold an item, ascending."""
        return np.asarray(
            [row for row, item in enumerate(self._items, start=1) if item is not None],
            dtype=np.int64,
        )

    def shared_rows(self, other: Vocabulary) -> npt.NDArray[np.int64]:
        """Rows that hold the same item in both, ascending."""
        pairs = enumerate(zip(self._items, other._items, strict=False), start=1)
        rows = [row for row, (mine, theirs) in pairs if mine is not None and mine == theirs]
        return np.asarray(rows, dtype=np.int64)

    def action(self, name: str) -> int:
        """The action's code, ``UNKNOWN`` where it has none."""
        return self._actions.get(name, UNKNOWN)

    def sightings(self, item: ItemId) -> Sightings | None:
        """The item's sightings, admitted or not; ``None`` where there were none."""
        row = self._rows.get(item)
        return self._waiting.get(item) if row is None else self._seen[row - 1]

    def count(self, item: ItemId) -> int:
        """How often the item was sighted, admitted or not."""
        seen = self.sightings(item)
        return seen.count if seen else 0

    @property
    def counts(self) -> Rows:
        """Sightings per row, shape ``(rows,)``; row 0 and free rows have none."""
        return np.asarray([0, *(seen.count for seen in self._seen)], dtype=np.int64)

    def by_popularity(self) -> Rows:
        """All rows of items, most sighted first; equal counts in order of rows.

        Kept until the next change, since replicas ask per request; not to be written to.
        """
        return self._most_sighted()[0]

    def _most_sighted(self) -> tuple[Rows, int]:
        kept = self._popular
        if kept is None:
            rows, counts = self.item_rows(), self.counts
            kept = rows[np.argsort(-counts[rows], kind="stable")], int(counts.sum())
            self._popular = kept
        return kept

    def popular(self, k: int, exclude: Collection[ItemId] = ()) -> tuple[list[ItemId], list[float]]:
        """The ``k`` most sighted items outside ``exclude`` and their shares of all sightings."""
        barred = {self.row(item) for item in exclude}
        # No more than this many of the first rows can be barred.
        ordered, total = self._most_sighted()
        first = ordered[: k + len(barred)].tolist()
        rows = [row for row in first if row not in barred][:k]
        return [self.item(row) for row in rows], [self._seen[row - 1].count / total for row in rows]

    def share(self, item: ItemId) -> float:
        """The item's share of all sightings of admitted items; 0 where it has no row."""
        row = self.row(item)
        return 0.0 if row == UNKNOWN else self._seen[row - 1].count / self._most_sighted()[1]

    def encode(self) -> bytes:
        """msgpack; equal vocabularies give equal bytes."""
        return _ENCODER.encode(
            _Stored(
                FORMAT,
                self.admit_after,
                list(self._actions),
                self._items,
                self._seen,
                list(self._waiting.items()),
            )
        )

    @classmethod
    def decode(cls, raw: bytes) -> Vocabulary:
        """The inverse of :meth:`encode`; ``CorruptVersion`` on foreign bytes."""
        try:
            stored = _DECODER.decode(raw)
        except msgspec.MsgspecError as error:
            raise CorruptVersion(
                f"a vocabulary was expected, found other bytes ({error}); take another version"
            ) from None
        if stored.format != FORMAT or len(stored.items) != len(stored.sightings):
            raise CorruptVersion(
                f"vocabulary format {FORMAT} with sightings for every row was expected, found "
                f"format {stored.format}, {len(stored.items)} rows and {len(stored.sightings)} "
                "sightings; take a version written by this release"
            )
        vocabulary = cls(stored.admit_after)
        vocabulary._items, vocabulary._seen = stored.items, stored.sightings
        for row, item in enumerate(stored.items, start=1):
            if item is None:
                vocabulary._free.append(row)  # ascending, which is a heap
            else:
                vocabulary._rows[item] = row
        vocabulary._waiting = dict(stored.waiting)
        vocabulary._actions = {name: code for code, name in enumerate(stored.actions, start=1)}
        return vocabulary
