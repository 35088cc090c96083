"""Whether further items fit into an answer by the caps of its rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.rules import Rules
from everfresh.serving.items.columns import Codes
from everfresh.serving.items.table import ItemTable


class Room:
    """One answer; those that fit are counted as in it. Used by who is reading the catalogue."""

    def __init__(self, rules: Rules | None, table: ItemTable) -> None:
        self._table = table
        self._caps = [
            (cap.n, labels.codes(None), Counter[int]())
            for cap in (rules.at_most if rules is not None else None) or ()
            if (labels := table.labels.get(cap.attribute)) is not None
        ]

    def add(self, item: ItemId) -> None:
        """It stands in the answer, whether it fits or not."""
        slot = self._table.slot(item)
        for _, layers, count in self._caps:
            count.update(_codes(layers, slot))

    def fits(self, item: ItemId) -> bool:
        """Whether it does; then it is added."""
        slot = self._table.slot(item)
        for n, layers, count in self._caps:
            if any(count[code] >= n for code in _codes(layers, slot)):
                return False
        self.add(item)
        return True


def _codes(layers: Sequence[Codes], slot: int) -> list[int]:
    return [code for layer in layers if (code := int(layer[slot]))]
