"""The open vocabulary: which item stands in which row, and which action has which code.

Rows are given in order of admission and never move, so that trainer and replicas, which receive
the vocabulary together with the weights, cannot disagree on a row. Row 0 is no item: it stands for
padding and for every item that is not admitted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.errors import CorruptVersion
from contracts.event import ItemId

FORMAT = 1
UNKNOWN = 0
"""The row of padding and of items without a row; the code of actions without one."""
MAX_ACTIONS = 255


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    format: int
    admit_after: int
    actions: list[str]
    items: list[ItemId]
    counts: list[int]
    waiting: list[tuple[ItemId, int]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Stored)


class Vocabulary:
    """Items with their rows and sightings, and action names with their codes.

    Grows only through :meth:`admit` and :meth:`admit_actions`; the same calls in the same order
    give the same rows and the same bytes.
    """

    def __init__(self, admit_after: int = 1) -> None:
        self.admit_after = admit_after
        self._items: list[ItemId] = []
        self._rows: dict[ItemId, int] = {}
        self._counts: list[int] = [0]
        self._sightings = 0
        self._waiting: dict[ItemId, int] = {}
        self._actions: dict[str, int] = {}
        self._popular: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Number of admitted items; their rows are 1 to this number."""
        return len(self._items)

    def __contains__(self, item: ItemId) -> bool:
        return item in self._rows

    def admit(self, items: Iterable[ItemId]) -> int:
        """Count one sighting per item, in order; return how many items got a row by it.

        An item gets the next row at its ``admit_after``-th sighting and keeps its earlier count.
        """
        before = len(self._items)
        self._popular = None
        for item in items:
            row = self._rows.get(item)
            if row is not None:
                self._counts[row] += 1
                self._sightings += 1
                continue
            seen = self._waiting.pop(item, 0) + 1
            if seen < self.admit_after:
                self._waiting[item] = seen
                continue
            self._items.append(item)
            self._rows[item] = len(self._items)
            self._counts.append(seen)
            self._sightings += seen
        return len(self._items) - before

    def admit_actions(self, names: Iterable[str]) -> None:
        """Give each new action name the next code; beyond ``MAX_ACTIONS`` they stay unknown."""
        for name in names:
            if name not in self._actions and len(self._actions) < MAX_ACTIONS:
                self._actions[name] = len(self._actions) + 1

    def row(self, item: ItemId) -> int:
        """The item's row, ``UNKNOWN`` where it has none."""
        return self._rows.get(item, UNKNOWN)

    def item(self, row: int) -> ItemId:
        """The item in ``row``; ``IndexError`` unless ``1 <= row <= len(self)``."""
        if row < 1:
            raise IndexError(f"rows of items start at 1, found {row}")
        return self._items[row - 1]

    def action(self, name: str) -> int:
        """The action's code, ``UNKNOWN`` where it has none."""
        return self._actions.get(name, UNKNOWN)

    def count(self, item: ItemId) -> int:
        """How often the item was sighted, admitted or not."""
        row = self._rows.get(item)
        return self._waiting.get(item, 0) if row is None else self._counts[row]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Sightings per row, shape ``(len(self) + 1,)``; row 0 has none."""
        return np.asarray(self._counts, dtype=np.int64)

    def by_popularity(self) -> npt.NDArray[np.int64]:
        """All rows of items, most sighted first; equal counts in order of admission.

        Kept until the next :meth:`admit`, since replicas ask per request; not to be written to.
        """
        kept = self._popular
        if kept is None:
            kept = np.argsort(-self.counts[1:], kind="stable") + 1
            self._popular = kept
        return kept

    def popular(self, k: int, exclude: Collection[ItemId] = ()) -> tuple[list[ItemId], list[float]]:
        """The ``k`` most sighted items outside ``exclude`` and their shares of all sightings."""
        barred = {self.row(item) for item in exclude}
        # No more than this many of the first rows can be barred.
        first = self.by_popularity()[: k + len(barred)].tolist()
        rows = [row for row in first if row not in barred][:k]
        total = max(1, self._sightings)
        return [self.item(row) for row in rows], [self._counts[row] / total for row in rows]

    def encode(self) -> bytes:
        """msgpack; equal vocabularies give equal bytes."""
        return _ENCODER.encode(
            _Stored(
                FORMAT,
                self.admit_after,
                list(self._actions),
                self._items,
                self._counts[1:],
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
        if stored.format != FORMAT or len(stored.items) != len(stored.counts):
            raise CorruptVersion(
                f"vocabulary format {FORMAT} with one count per item was expected, found format "
                f"{stored.format}, {len(stored.items)} items and {len(stored.counts)} counts; "
                "take a version written by this release"
            )
        vocabulary = cls(stored.admit_after)
        vocabulary._items = stored.items
        vocabulary._rows = {item: row for row, item in enumerate(stored.items, start=1)}
        vocabulary._counts = [0, *stored.counts]
        vocabulary._sightings = sum(stored.counts)
        vocabulary._waiting = dict(stored.waiting)
        vocabulary._actions = {name: code for code, name in enumerate(stored.actions, start=1)}
        return vocabulary
