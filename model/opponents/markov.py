"""Last-item Markov that fades: rows by how often they followed the last one lately.

Behind the followers stands everything else, in the order of the fading popularity: what was clicked
lately. Followers are bounded, by item and in all; the longest unseen go.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import MISS, Firsts, Ranks, only
from everfresh.model.opponents.clicks import Asked, Click, targets_of
from everfresh.model.opponents.fading import TRIED, Choice, FadingCounts, Rows, gains_at_ten
from everfresh.model.opponents.popularity import FadingPopularity, as_rows
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary

OF_AN_ITEM, OF_ALL = 1_024, 524_288
"""Followers that an item keeps at least, and all items together at most."""


class FadingMarkov:
    """Ranks every row; equal counts in the order of popularity."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        popularity: FadingPopularity,
        of_an_item: int = OF_AN_ITEM,
        of_all: int = OF_ALL,
    ) -> None:
        self._vocabulary, self._popularity = vocabulary, popularity
        self._of_an_item, self._of_all = of_an_item, of_all
        self.counts = FadingCounts()
        self.choice = Choice()
        # Slot n holds a pair of rows, or none (zeros); by the first row, the second's slot.
        self.pairs: npt.NDArray[np.int32] = np.zeros((0, 2), np.int32)
        self._slots: dict[int, dict[int, int]] = {}
        self._free: list[int] = []
        self.used = 0

    def ranks(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> Ranks:
        """One rank per target, each given the user's true previous item."""
        return np.array(
            [
                self._rank(target) if target.ranked else MISS
                for target in targets_of(self._vocabulary, only(examples, asked), exclude_seen)
            ],
            np.int64,
        )

    def _rank(self, target: Asked) -> int:
        slots = self._slots.get(target.last, {})
        if target.row not in slots:
            before = target.seen | slots.keys() if target.seen else slots.keys()
            return (
                len(before) - len(target.seen) + self._popularity.rank(target.row, as_rows(before))
            )
        return int(self._among(target, slots, [self.choice.best])[0])

    def _among(self, target: Asked, slots: dict[int, int], tried: Sequence[int]) -> Rows:
        """The rank of a follower among followers, by each half-life that is ``tried``."""
        rows, at = as_rows(slots.keys()), as_rows(slots.values())
        if target.seen:
            kept = [row not in target.seen for row in slots]
            rows, at = rows[kept], at[kept]
        levels = (
            self.counts.levels(at) if len(tried) > 1 else self.counts.level(at, tried[0])[:, None]
        )
        mine = levels[rows == target.row]
        level = (levels == mine) & (rows != target.row)[:, None]
        ranks: Rows = 1 + (levels > mine).sum(axis=0)
        if level.any():
            keys = self._popularity.keys(rows)
            ranks += (level & (keys < keys[rows == target.row])[:, None]).sum(axis=0)
        return ranks

    def judge(self, examples: Sequence[DecodedExample], exclude_seen: bool) -> None:
        """Note what each half-life would have gained on a window that is not learnt yet.

        Where the target is no follower, all of them rank it alike: that is left out.
        """
        gains, events, every = np.zeros(TRIED), 0, range(TRIED)
        for target in targets_of(self._vocabulary, examples, exclude_seen):
            events += 1
            slots = self._slots.get(target.last, {})
            if target.ranked and target.row in slots:
                gains += gains_at_ten(self._among(target, slots, every))
        self.choice.judge(gains, events)

    def learn(self, learnt: Sequence[Click], first: int) -> None:
        """Count clicks as followers of those before them; the first is event number ``first``."""
        for event, click in enumerate(learnt, first):
            if UNKNOWN in {click.last, click.row}:
                continue
            slots = self._slots.setdefault(click.last, {})
            slot = slots.get(click.row)
            if slot is None:
                slot = slots[click.row] = self._take(click.last, click.row)
            self.counts.count(slot, event)
            if len(slots) > 2 * self._of_an_item:
                at = as_rows(slots.values())
                # By a count that fades slowly, so that what was much followed once may go at last.
                order = np.lexsort((-self.counts.touched[at], -self.counts.level(at, 1)))
                self._release(at[order[self._of_an_item :]])
        if self.used - len(self._free) > self._of_all:
            held = np.flatnonzero(self.pairs[: self.used, 0])
            order = np.argsort(-self.counts.touched[held], kind="stable")
            self._release(held[order[self._of_all - self._of_all // 4 :]])

    def _take(self, last: int, row: int) -> int:
        slot = heapq.heappop(self._free) if self._free else self.used
        if slot == self.used:
            self.used += 1
            self.counts.reach(self.used)
            if self.used > len(self.pairs):
                more = np.zeros((max(64, len(self.pairs)), 2), np.int32)
                self.pairs = np.concatenate([self.pairs, more])
        self.pairs[slot] = last, row
        return slot

    def _release(self, slots: Rows) -> None:
        for slot, (last, row) in zip(slots.tolist(), self.pairs[slots].tolist(), strict=True):
            followers = self._slots[last]
            del followers[row]
            if not followers:
                del self._slots[last]
            heapq.heappush(self._free, slot)
        self.pairs[slots] = 0
        self.counts.clear(slots)

    def forget(self, rows: Rows) -> None:
        """These hold no item any more: neither they nor what followed them is known."""
        pairs = self.pairs[: self.used]
        self._release(np.flatnonzero(np.isin(pairs, rows).any(axis=1)))

    def take(self, pairs: npt.NDArray[np.int32]) -> None:
        """Hold these pairs of rows, a slot each; their counts are the caller's to fill in."""
        self.pairs, self.used = pairs.copy(), len(pairs)
        self.counts.reach(self.used)
        self._slots = {}
        for slot, (last, row) in enumerate(pairs.tolist()):
            if last:
                self._slots.setdefault(last, {})[row] = slot
        self._free = np.flatnonzero(pairs[:, 0] == 0).tolist()  # ascending: a heap
