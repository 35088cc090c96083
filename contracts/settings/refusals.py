"""Which events are refusals, by ``trainer.refusals``: users said no to an item by them."""

from __future__ import annotations

from collections.abc import Sequence


class Refusals:
    """``kinds`` are types, such as ``skip``, and types with a bound, such as ``rating<3``. False
    where no event ever is one."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._bounds: dict[str, float | None] = {}
        for kind in kinds:
            name, below, number = kind.partition("<")
            self._bounds[name] = float(number) if below else None

    def __bool__(self) -> bool:
        return bool(self._bounds)

    def may_be(self, action: str) -> bool:
        """Whether events of this type can be refusals."""
        return action in self._bounds

    def holds(self, action: str, value: float | None) -> bool:
        """Whether an event is one."""
        if action not in self._bounds:
            return False
        bound = self._bounds[action]
        return bound is None or (value is not None and value < bound)
