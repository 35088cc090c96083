"""Popularity that fades: rows by how often they were sighted lately."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from everfresh.contracts.event import ItemId
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import MISS, Firsts, Ranks, only
from everfresh.model.opponents.clicks import Asked, Click, targets_of
from everfresh.model.opponents.fading import TRIED, Choice, FadingCounts, Levels, Rows, gains_at_ten
from everfresh.model.opponents.row_order import Keys, RowOrder, keys_of
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary


def as_rows(rows: Collection[int]) -> Rows:
    """The same as an array."""
    return np.fromiter(rows, np.int64, len(rows))


class FadingPopularity:
    """Ranks every row of the vocabulary; equal counts in order of rows."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.counts = FadingCounts()
        self.choice = Choice()
        self._orders: list[RowOrder] | None = None

    def ranks(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> Ranks:
        """One rank per target, in order of the examples and of their targets."""
        return np.array(
            [
                self.rank(target.row, as_rows(target.seen)) if target.ranked else MISS
                for target in targets_of(self._vocabulary, only(examples, asked), exclude_seen)
            ],
            np.int64,
        )

    def rank(self, row: int, without: Rows) -> int:
        """The rank of a row among those outside ``without``, which names each once; from 1."""
        tried = self.choice.best
        mine = self.keys(np.array([row]), tried)
        place = 1 + int(self._ordered()[tried].ahead(mine)[0])
        if not len(without):
            return place
        return place - int(np.count_nonzero(self.keys(without, tried) < mine))

    def keys(self, rows: Rows, tried: int | None = None) -> Keys:
        """Where rows stand, by the half-life that was chosen unless another is named."""
        tried = self.choice.best if tried is None else tried
        return keys_of(self.counts.level(rows, tried), rows)

    def shares(self, items: Sequence[ItemId]) -> Levels:
        """The share of each item in all that is counted, ``(items,)``: nine tenths by count, one
        tenth evenly over the items; 0 for those without a row."""
        rows = as_rows(self._vocabulary.rows_of(items))
        held = self._vocabulary.item_rows()
        if not len(held):
            return np.zeros(len(items))
        # Levels count from no fixed point: they are compared with the highest.
        levels = self.counts.level(held, self.choice.best)
        top = float(levels.max(initial=-np.inf))
        if not np.isfinite(top):
            return np.where(rows != UNKNOWN, 1.0 / len(held), 0.0)
        whole = float(np.exp2(levels - top).sum())
        counted = np.exp2(self.counts.level(rows, self.choice.best) - top) / whole
        shares: Levels = np.where(rows != UNKNOWN, 0.9 * counted + 0.1 / len(held), 0.0)
        return shares

    def judge(self, examples: Sequence[DecodedExample], exclude_seen: bool) -> None:
        """Note what each half-life would have gained on a window that is not learnt yet."""
        orders, gains, events = self._ordered(), np.zeros(TRIED), 0
        rows: list[int] = []
        for target in targets_of(self._vocabulary, examples, exclude_seen):
            events += 1
            if target.ranked and not target.seen:
                rows.append(target.row)
            elif target.ranked:
                gains += gains_at_ten(self._ranks_of_each(orders, target))
        known = as_rows(rows)
        levels = self.counts.levels(known)
        for tried, order in enumerate(orders):
            ahead = order.ahead(keys_of(levels[:, tried], known))
            gains[tried] += gains_at_ten(1 + ahead).sum()
        self.choice.judge(gains, events)

    def _ranks_of_each(self, orders: list[RowOrder], target: Asked) -> Rows:
        row, seen = np.array([target.row]), as_rows(target.seen)
        mine, theirs = self.counts.levels(row), self.counts.levels(seen)
        barred = ((theirs > mine) | ((theirs == mine) & (seen[:, None] < target.row))).sum(axis=0)
        places = [order.ahead(keys_of(mine[:, at], row))[0] for at, order in enumerate(orders)]
        out: Rows = 1 + np.array(places) - barred
        return out

    def learn(self, learnt: Sequence[Click], first: int) -> None:
        """Count clicks, the first of which is event number ``first``."""
        self.counts.reach(self._vocabulary.rows)
        touched = as_rows(sorted({click.row for click in learnt} - {UNKNOWN}))
        before = self.counts.levels(touched)
        for event, click in enumerate(learnt, first):
            if click.row != UNKNOWN:
                self.counts.count(click.row, event)
        self._reorder(touched, before, self.counts.levels(touched))

    def forget(self, rows: Rows) -> None:
        """These hold no item any more."""
        self.counts.reach(self._vocabulary.rows)
        before = self.counts.levels(rows)
        self.counts.clear(rows)
        self._reorder(rows, before, self.counts.levels(rows))

    def _reorder(self, rows: Rows, before: Levels, after: Levels) -> None:
        if self._orders is None:
            return
        for tried, order in enumerate(self._orders):
            gone, come = (keys_of(levels[:, tried], rows) for levels in (before, after))
            order.change(gone[np.isfinite(gone.real)], come[np.isfinite(come.real)])

    def _ordered(self) -> list[RowOrder]:
        """An order for each half-life; made once, and changed from then on."""
        if self._orders is None:
            rows = np.flatnonzero(self.counts.values[:, 0])
            levels = self.counts.levels(rows)
            self._orders = [RowOrder(keys_of(levels[:, tried], rows)) for tried in range(TRIED)]
        return self._orders
