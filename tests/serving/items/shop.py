"""A small catalogue over the small versions of ``replica_in_memory``."""

from __future__ import annotations

from typing import Any

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Item, ItemChange
from everfresh.contracts.settings import ItemSettings
from everfresh.serving.items.catalogue import Catalogue


def change(item: ItemId, **more: Any) -> ItemChange:
    """A record; what is not a field of an item is an attribute."""
    fields = {
        name: more.pop(name)
        for name in ("published", "expires", "available", "embedding")
        if name in more
    }
    return ItemChange(item, Item(id=item, attributes=more, **fields))


def removal(item: ItemId) -> ItemChange:
    """A record without a value."""
    return ItemChange(item, None)


def catalogue_of(*changes: ItemChange, **settings: Any) -> Catalogue:
    """A catalogue that has read these."""
    made = Catalogue(ItemSettings(**settings))
    made.apply(changes, len(changes))
    return made
