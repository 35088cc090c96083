"""The newest records of the catalogue, and what they say of their items as features."""

from __future__ import annotations

from collections import OrderedDict

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Item, ItemChange
from everfresh.model.content.features import Features, features_of


class NewestRecords:
    """At most ``most`` records, in the log's order; removed items have places among them, too.

    An item is looked at once, when its features are first asked for, or by :meth:`put` on request.
    So a long catalogue costs nothing while it is read.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._records: OrderedDict[ItemId, Item | Features | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def put(self, change: ItemChange) -> None:
        """The newest record."""
        if not self._most:
            return
        self._records.pop(change.id, None)
        self._records[change.id] = change.item
        if len(self._records) > self._most:
            self._records.popitem(last=False)

    def features(self, item: ItemId) -> Features | None:
        """Of an item among them; ``None`` for others, and for removed ones."""
        known = self._records.get(item)
        if isinstance(known, Item):
            # Another value of a key does not change the order of keys.
            known = self._records[item] = features_of(known)
        return known

    def items(self) -> list[ItemId]:
        """All of them, the newest first."""
        return list(reversed(self._records))
