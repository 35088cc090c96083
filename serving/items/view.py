"""The catalogue as one version sees it: which row is which item, and which rows a filter leaves.

A filter's rows are found once over the whole catalogue. After that only rows change whose item or
whose record does: they are noted, and looked at when the filter is asked for again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.rules import Filter, key_of
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.item_ids import LONG
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary
from everfresh.serving.items.cold_rows import ColdRows
from everfresh.serving.items.columns import NOTHING, Bools, Slots
from everfresh.serving.items.filters import fits
from everfresh.serving.items.table import ItemTable

MOST_FILTERS = 32
"""Filters whose rows are kept: a byte for each row of the version."""
_NOTED = 4_096
"""Changes that are kept for filters that are asked for rarely; with more, their rows are found
anew."""


class _Kept:
    """The rows that a filter closes, as of the changes up to ``upto``."""

    def __init__(self, closed: Bools, upto: int) -> None:
        self.closed = closed
        self.upto = upto
        self.left = 0
        self.count()

    def count(self) -> None:
        """Count the rows that are left."""
        self.left = len(self.closed) - int(np.count_nonzero(self.closed))


class RowView:
    """Of one vocabulary, whose changes :meth:`follow` looks for. Used by one thread at a time.

    ``cold`` are the items that have no row there; nothing else here counts them.
    """

    def __init__(self, recommender: Recommender, table: ItemTable) -> None:
        self.table = self._table = table
        self.cold = ColdRows(recommender)
        self._kinds = np.zeros(0, np.uint8)
        self._ids = np.zeros((0, 0), np.uint64)
        self.slots: Slots = np.full(1, NOTHING, np.int32)
        """The slot of each row, ``NOTHING`` for one without an item."""
        self._noted: list[ItemRows] = []
        self._begin = 0
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def follow(self, vocabulary: Vocabulary) -> tuple[Slots, ItemRows]:
        """The slots as they are now, and the rows whose item is another; :meth:`take` them."""
        held = vocabulary.held
        kinds, ids = held.kinds.copy(), np.ascontiguousarray(held.ids).view(np.uint64)
        changed = _changed(self._kinds, self._ids, kinds, ids)
        slots = np.full(len(kinds) + 1, NOTHING, np.int32)
        slots[: len(self.slots)] = self.slots[: len(slots)]
        items = held.items
        rows = changed + 1
        slots[rows] = self._table.slots_of([items[at] for at in changed.tolist()])
        self._kinds, self._ids = kinds, ids.copy()
        return slots, rows

    def take(self, slots: Slots, rows: ItemRows) -> None:
        """Become what :meth:`follow` found."""
        more = len(slots) - len(self.slots)
        if more < 0:
            self._kept.clear()
        for kept in self._kept.values() if more else ():
            kept.closed = np.append(kept.closed, np.ones(more, np.bool_))
        self.slots = slots
        self._note(rows)

    def renew(self, vocabulary: Vocabulary, changes: Iterable[tuple[ItemId, int]]) -> None:
        """Records of these items, which have these slots, are others."""
        rows = []
        for item, slot in changes:
            row = vocabulary.row(item)
            if row != UNKNOWN and row < len(self.slots):
                self.slots[row] = slot
                rows.append(row)
        self._note(np.asarray(rows, np.int64))

    def closed(self, wanted: Filter | None, *, live: bool = True) -> tuple[Bools, int]:
        """Which rows are not to be shown: their items do not fit, or, where ``live``, may not be
        shown now. Also how many are left. Not to be written to, nor kept."""
        key = (b"" if wanted is None else key_of(wanted)) + (b"live" if live else b"")
        kept = self._kept.get(key)
        end = self._begin + len(self._noted)
        if kept is None or kept.upto < self._begin:
            kept = self._kept[key] = _Kept(self._found(wanted, live), end)
            while len(self._kept) > MOST_FILTERS:
                self._kept.popitem(last=False)
        elif kept.upto < end:
            rows = np.unique(np.concatenate(self._noted[kept.upto - self._begin :]))
            kept.closed[rows] = ~self._open(wanted, live, self.slots[rows])
            kept.closed[UNKNOWN] = True
            kept.upto = end
            kept.count()
        self._kept.move_to_end(key)
        return kept.closed, kept.left

    def left(self) -> int | None:
        """How many may be shown, when last asked; asked from any thread."""
        kept = self._kept.get(b"live")
        return None if kept is None else kept.left

    def _found(self, wanted: Filter | None, live: bool) -> Bools:
        """Over all slots first, since that reads each column in its order."""
        table = self._table
        shown = table.live.values[: table.end].copy() if live else np.ones(table.end, np.bool_)
        if wanted is not None:
            shown &= fits(wanted, table)
        shown[NOTHING] = False
        closed: Bools = ~shown[self.slots]
        closed[UNKNOWN] = True
        return closed

    def _open(self, wanted: Filter | None, live: bool, slots: Slots) -> Bools:
        shown = self._table.live.values[slots] if live else np.ones(len(slots), np.bool_)
        if wanted is not None:
            shown &= fits(wanted, self._table, slots)
        shown[slots == NOTHING] = False
        return shown

    def _note(self, rows: ItemRows) -> None:
        if not len(rows):
            return
        self._noted.append(rows)
        if sum(map(len, self._noted)) > _NOTED or len(self._noted) > _NOTED // 8:
            # The older half goes; a filter that has not seen it yet is found anew.
            half = (len(self._noted) + 1) // 2
            self._begin += half
            del self._noted[:half]


def _changed(
    kinds: npt.NDArray[np.uint8],
    ids: npt.NDArray[np.uint64],
    new_kinds: npt.NDArray[np.uint8],
    new_ids: npt.NDArray[np.uint64],
) -> ItemRows:
    """Vocabulary slots whose item is another, in either direction."""
    if ids.shape[1:] != new_ids.shape[1:] or len(kinds) > len(new_kinds):
        return np.arange(len(new_kinds))
    common = len(kinds)
    differs = kinds != new_kinds[:common]
    # What stands apart from the table is looked at again, for it may have changed there.
    differs |= new_kinds[:common] == LONG
    for column in range(ids.shape[1]):
        differs |= ids[:, column] != new_ids[:common, column]
    return np.append(np.flatnonzero(differs), np.arange(common, len(new_kinds)))
