"""The open vocabulary: which item stands in which row, and which action has which code.

An item gets a row at its ``admit_after``-th sighting and loses it when it has not been sighted for
long; the freed row goes to a later newcomer. Between the two a row never moves. What more newcomers
than are to be expected get: ``model.vocabulary.admission``. The vocabulary
travels together with the weights, so that trainer and replicas cannot disagree on a row.

Row 0 is no item: it stands for padding, and it is the cold row, which every item without a row
shares as context. It is never ranked, recommended or a target.

As bytes it is safetensors, so that few changed items are few changed rows:

    kinds, ids  which item stands in each row from 1 on (``model.vocabulary.item_ids``)
    sightings   I64 (rows, 3): how often, and in which windows first and last
    rest        U8: msgpack of everything else
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.safetensors import TableFile
from everfresh.model.row_changes import RowChanges, require_names
from everfresh.model.touched_rows import TouchedRows, table_bytes
from everfresh.model.vocabulary.admission import Limits, left_waiting, surplus
from everfresh.model.vocabulary.item_ids import FREE, ItemIds
from everfresh.model.vocabulary.metadata import (
    FORMAT,
    VocabularyMetadata,
    decode_metadata,
    encode_metadata,
)
from everfresh.model.vocabulary.sightings import Ints, ItemRows, Sightings, SightingTable
from everfresh.model.vocabulary.waiting import Met, WaitingItems

UNKNOWN = 0
"""The row of padding and of items without a row; the code of actions without one."""
MAX_ACTIONS = 255

_TENSORS = {"kinds", "ids", "sightings", "rest"}


class Vocabulary:
    """Items with their rows and sightings, and action names with their codes.

    It changes only through :meth:`admit`, :meth:`expire`, :meth:`admit_actions` and :meth:`take`.
    The same calls in the same order give the same rows and the same bytes.
    """

    def __init__(self, admit_after: int = 1) -> None:
        self.admit_after = admit_after
        # Slot n is row n + 1; a free row holds no item, and sightings of nothing.
        self._ids = ItemIds()
        self._seen = SightingTable()
        self._rows: dict[ItemId, int] = {}
        self._free: list[int] = []
        self._waiting = WaitingItems()
        self._actions: dict[str, int] = {}
        self._oldest = 0  # nothing was last sighted before this window
        self.touched = TouchedRows()  # slots, since the last version

    def __len__(self) -> int:
        """Number of items that have a row."""
        return len(self._rows)

    def __contains__(self, item: ItemId) -> bool:
        return item in self._rows

    @property
    def held(self) -> ItemIds:
        """What stands in each slot; only to be read, and only while nothing changes it."""
        return self._ids

    @property
    def rows(self) -> int:
        """Rows of the item table: row 0, those of items, and free ones."""
        return len(self._ids) + 1

    def admit(
        self,
        items: Sequence[ItemId],
        label: int = 0,
        users: Sequence[UserId] = (),
        limits: Limits | None = None,
    ) -> int:
        """Count one sighting per item, in order, in window ``label``; return how many got a row.

        An item gets a row at its ``admit_after``-th sighting and keeps its count: the lowest
        free row, or the next one. ``users`` sighted; ``limits`` may leave some items waiting.
        """
        before = len(self)
        met, ripe = self._met(items, users, label)
        left = left_waiting(ripe, len(items), limits)
        for row in filter(None, map(self._rows.get, items)):
            self._seen.sight(row - 1, label)
            self.touched.add(row - 1)
        self._waiting.items |= met
        for item in ripe:
            if item not in left:
                self._give_row(item, self._waiting.items.pop(item).seen)
        return len(self) - before

    def left_waiting(
        self, items: Sequence[ItemId], users: Sequence[UserId], limits: Limits
    ) -> frozenset[ItemId]:
        """Items that :meth:`admit` would leave waiting because there are too many newcomers."""
        return left_waiting(self._met(items, users, 0)[1], len(items), limits)

    def _met(self, items: Sequence[ItemId], users: Sequence[UserId], label: int) -> Met:
        unknown = (seen for seen in zip_longest(items, users) if seen[0] not in self._rows)
        return self._waiting.met(unknown, label, self.admit_after)

    def _give_row(self, item: ItemId, seen: Sightings) -> None:
        slot = heapq.heappop(self._free) - 1 if self._free else len(self._ids)
        self._ids.put(slot, item)
        self._seen.put(slot, seen)
        self._rows[item] = slot + 1
        self.touched.add(slot)

    def expire(self, before: int, limits: Limits | None = None) -> list[int]:
        """Forget what was last sighted before window ``before``; return the freed rows, ascending.

        Also what ``limits`` have no room for. A forgotten item is unknown from then on; sighted
        again, it begins anew.
        """
        freed: list[int] = []
        if before > self._oldest:
            old = (self._seen.last() < before) & (self._ids.kinds != FREE)
            freed = self._free_slots(np.flatnonzero(old))
            self._waiting.forget(before)
            self._oldest = before
        if limits is not None:
            self._waiting.bound(len(self))
            held = np.flatnonzero(self._ids.kinds != FREE)
            if len(held) > limits.fewest:
                leaving = surplus(self._seen.table(), held, self.admit_after, limits)
                freed = sorted(freed + self._free_slots(leaving))
        return freed

    def _free_slots(self, slots: Ints) -> list[int]:
        freed: list[int] = (slots + 1).tolist()
        self.touched.extend(slots)
        for row in freed:
            del self._rows[self.item(row)]
            self._ids.put(row - 1, None)
            self._seen.put(row - 1, Sightings(0, 0, 0))
            heapq.heappush(self._free, row)
        return freed

    def admit_actions(self, names: Iterable[str]) -> None:
        """Give each new action name the next code; beyond ``MAX_ACTIONS`` they stay unknown."""
        for name in names:
            if name not in self._actions and len(self._actions) < MAX_ACTIONS:
                self._actions[name] = len(self._actions) + 1

    def row(self, item: ItemId) -> int:
        """The item's row, ``UNKNOWN`` where it has none."""
        return self._rows.get(item, UNKNOWN)

    def rows_of(self, items: Iterable[ItemId]) -> list[int]:
        """The row of each item, in order."""
        get = self._rows.get
        return [get(item, UNKNOWN) for item in items]

    def item(self, row: int) -> ItemId:
        """The item in ``row``; ``IndexError`` for row 0, a free row and one beyond the table."""
        item = self._ids.items[row - 1] if row >= 1 else None
        if item is None:
            raise IndexError(f"row {row} holds no item")
        return item

    def free_rows(self) -> ItemRows:
        """Rows between 1 and ``rows`` that hold no item, ascending."""
        return np.asarray(sorted(self._free), dtype=np.int64)

    def item_rows(self) -> ItemRows:
        """Rows that hold an item, ascending."""
        return np.flatnonzero(self._ids.kinds != FREE) + 1

    def holds_item(self, rows: ItemRows) -> npt.NDArray[np.bool_]:
        """Whether each of these rows, from 1 on, holds an item."""
        held: npt.NDArray[np.bool_] = self._ids.kinds[rows - 1] != FREE
        return held

    def shared_rows(self, other: Vocabulary) -> ItemRows:
        """Rows that hold the same item in both, ascending."""
        pairs = enumerate(zip(self._ids.items, other._ids.items, strict=False), start=1)
        rows = [row for row, (mine, theirs) in pairs if mine is not None and mine == theirs]
        return np.asarray(rows, dtype=np.int64)

    def action(self, name: str) -> int:
        """The action's code, ``UNKNOWN`` where it has none."""
        return self._actions.get(name, UNKNOWN)

    def actions_of(self, names: Iterable[str]) -> list[int]:
        """The code of each action, in order."""
        get = self._actions.get
        return [get(name, UNKNOWN) for name in names]

    def sightings(self, item: ItemId) -> Sightings | None:
        """The item's sightings, admitted or not; ``None`` where there were none."""
        if row := self.row(item):
            return self._seen[row - 1]
        return waits.seen if (waits := self._waiting.items.get(item)) else None

    @property
    def counts(self) -> Ints:
        """Sightings per row, shape ``(rows,)``; row 0 and free rows have none."""
        return np.concatenate([np.zeros(1, np.int64), self._seen.counts()])

    def tables(self) -> TableFile:
        """As a version keeps them, where they are."""
        touched = self.touched.rows(len(self._ids))
        return TableFile(
            {
                "kinds": table_bytes(self._ids.kinds, touched),
                "ids": table_bytes(self._ids.ids, touched),
                "sightings": table_bytes(self._seen.table(), touched),
                "rest": table_bytes(np.frombuffer(self._encode_metadata(), np.uint8)),
            }
        )

    def encode(self) -> bytes:
        """Equal vocabularies that grew alike give equal bytes."""
        return self.tables().to_bytes()

    def begin_version(self) -> None:
        """A version holds all that is here; from now on only what is touched differs."""
        self.touched.begin(len(self._ids))

    def _encode_metadata(self) -> bytes:
        long, actions = sorted(self._ids.long.items()), list(self._actions)
        waiting = self._waiting.fields()
        fields = VocabularyMetadata(FORMAT, self.admit_after, actions, long, *waiting)
        return encode_metadata(fields)

    @classmethod
    def decode(cls, raw: bytes) -> Vocabulary:
        """The inverse of :meth:`encode`; ``CorruptVersion`` on foreign bytes."""
        try:
            tables = load(raw)
            metadata = decode_metadata(tables["rest"])
            made = cls(metadata.admit_after)
            made._ids = ItemIds.of(tables["kinds"], tables["ids"], dict(metadata.long))
            made._seen = SightingTable.of(tables["sightings"])
        except (SafetensorError, KeyError, ValueError, IndexError) as error:
            raise CorruptVersion(
                f"a vocabulary was expected, found other bytes ({error}); take another version"
            ) from None
        made._take_metadata(metadata)
        items = made._ids.items
        made._rows = {item: row for row, item in enumerate(items, start=1) if item is not None}
        made._free = (np.flatnonzero(made._ids.kinds == FREE) + 1).tolist()  # ascending: a heap
        made._require_consistent()
        made.begin_version()
        return made

    def take(self, changes: RowChanges) -> None:
        """Become the vocabulary that these changes lead to, at the cost of what changed.

        ``CorruptVersion`` where they do not fit; then this one is no longer of use.
        """
        require_names(changes, _TENSORS, "vocabulary")
        try:
            rest, long = changes["rest"], self._ids.long
            if rest.rows is None or len(rest.rows):
                before = np.frombuffer(self._encode_metadata(), np.uint8)
                metadata = decode_metadata(rest.of(before))
                self._take_metadata(metadata)
                long = dict(metadata.long)
            slots, old, new = self._ids.take(changes["kinds"], changes["ids"], long)
            self._seen.take(changes["sightings"])
        except (ValueError, IndexError) as error:
            raise CorruptVersion(
                f"these changes are of another vocabulary ({error}); take another version"
            ) from None
        for item in old:
            if item is not None:
                self._rows.pop(item, None)
        for slot, item in zip(slots, new, strict=True):
            if item is not None:
                self._rows[item] = slot + 1
        self._free = (np.flatnonzero(self._ids.kinds == FREE) + 1).tolist()
        self._require_consistent()

    def _take_metadata(self, metadata: VocabularyMetadata) -> None:
        self.admit_after = metadata.admit_after
        self._waiting = WaitingItems.of(metadata.waiting, metadata.witnesses)
        self._actions = {name: code for code, name in enumerate(metadata.actions, start=1)}

    def _require_consistent(self) -> None:
        slots = len(self._ids)
        if len(self._rows) + len(self._free) != slots or len(self._seen) != slots:
            raise CorruptVersion(
                f"a vocabulary of {slots} rows with {len(self._rows)} items, {len(self._free)} "
                f"free rows and {len(self._seen)} sightings was found; take another version"
            )
