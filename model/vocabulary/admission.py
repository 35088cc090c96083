"""Which newcomers get a row, and who makes room for them: what a flood of new items cannot buy.

A window that brings no more newcomers than are to be expected gives each of them a row, as if there
were no limit. One that brings more is a *flood*. Of its newcomers only those that two users or more
have sighted get a row, most users first; the others wait, with who sighted them, for another user.
What waits is bounded too: it costs a few bytes an item, and no training.

Beneath notice a flood may still bring items window after window. Rows whose item was sighted once
or twice in one window, and never again, are therefore bounded by those of all others, and rows by
``max_items``. Of those the longest unsighted make room first, so that a flood displaces itself: an
item that users come back to stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.settings import TrainerSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.vocabulary.sightings import Ints
from everfresh.model.vocabulary.waiting import VOUCHED, Newcomer

_USUAL, _FLOODED = 3, 8
"""Events that a window has for each newcomer: fewer make a flood, of which so many have a row."""
_PASSING, _OTHERS = 10, 2
"""Rows of items that were hardly sighted and never again: so often ``new_items``, or others."""


def sighted(examples: Iterable[DecodedExample]) -> tuple[list[ItemId], list[UserId]]:
    """What the targets of a window's examples sight, and who, in order; not refusals."""
    pairs = [
        (target.item, example.user)
        for example in examples
        for target, refused in zip(example.targets, example.marks, strict=True)
        if not refused
    ]
    return [item for item, _ in pairs], [user for _, user in pairs]


@dataclass(frozen=True)
class Limits:
    """``trainer.new_items`` and ``trainer.max_items``."""

    new_items: int
    max_items: int

    @property
    def fewest(self) -> int:
        """Rows up to which nothing has to make room."""
        return min(_PASSING * self.new_items, self.max_items)

    @classmethod
    def of(cls, settings: TrainerSettings) -> Limits:
        """Those that the settings name."""
        return cls(settings.new_items, settings.max_items)

    def expected(self, events: int) -> int:
        """Newcomers that a window of so many events may bring."""
        return max(self.new_items, events // _USUAL)

    def room(self, events: int) -> int:
        """Rows that a flood of so many events gets."""
        return max(self.new_items, events // _FLOODED)


def left_waiting(
    ripe: Mapping[ItemId, Newcomer], events: int, limits: Limits | None
) -> frozenset[ItemId]:
    """Which of a window's newcomers, in order of their ripening, get no row; none mostly."""
    if limits is None or len(ripe) <= limits.expected(events):
        return frozenset()
    vouched = [item for item, newcomer in ripe.items() if newcomer.users >= VOUCHED]
    vouched.sort(key=lambda item: -ripe[item].users)
    return frozenset(ripe) - frozenset(vouched[: limits.room(events)])


def surplus(
    sightings: Ints, held: npt.NDArray[np.int64], admit_after: int, limits: Limits
) -> npt.NDArray[np.int64]:
    """The slots, of those ``held``, that make room; ascending. ``sightings`` is ``(slots, 3)``."""
    counts, first, last = sightings[held].T
    passing = (counts <= admit_after + 1) & (first == last)
    over = int(passing.sum()) - max(_PASSING * limits.new_items, _OTHERS * int((~passing).sum()))
    # Put in order only where some leave: a million rows would cost each window too much.
    leaving = np.lexsort((held, last, ~passing))[:over] if over > 0 else np.zeros(0, np.int64)
    over = len(held) - len(leaving) - limits.max_items
    if over > 0:
        # The last window's newcomers had no time yet to be sighted again.
        rest = np.setdiff1d(np.arange(len(held)), leaving)
        order = np.lexsort((held[rest], last[rest], counts[rest], first[rest] == last.max()))
        leaving = np.concatenate([leaving, rest[order[:over]]])
    return np.sort(held[leaving])
