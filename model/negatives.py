"""The rows that batches are held against: drawn without repeats, at the sample's cost.

Of a large catalogue a window touches few rows, and draws most negatives from those that it reads
anyway: its *own*. The others are drawn from a *pool*, which is an even sample of all others. Each
drawn row stands for as many items as its kind has for one drawn, so that the sum over all items is
estimated as fairly as by even draws, and no worse where it counts: what is hot is among the own.
What a window changes is then bounded by what it reads, however large the catalogue is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import Vocabulary

POOL = 8192
"""Rows of a window's pool, and of a catalogue that needs none; more where steps are many."""
TURNS = 2
"""How often a pool's rows are drawn in a window, in the mean. The same few rows must not be pushed
away again and again, while others that nobody chooses either are not (decision 49)."""
WHOLE = 8
"""Even draws of each item in a window, in the mean, from which on a pool saves nothing."""
_FEWEST = 64
"""One negative in so many, at least, is from the pool; more where the own are few."""
_SPARSE = 4
"""Rows for each one drawn, from which on draws that hit a row twice are few."""
_EXACT = torch.float64


@dataclass(frozen=True)
class _Kind:
    """``drawn`` of these ``rows`` for each batch; all of them stand for so many ``items``."""

    rows: ItemRows
    drawn: int
    items: int


class Negatives:
    """``number`` items' rows for each batch; all of them where the vocabulary has no more.

    Draws from torch's global generator of the CPU, on every device.
    """

    def __init__(self, vocabulary: Vocabulary, number: int) -> None:
        self._vocabulary = vocabulary
        self._number = number
        self._kinds: list[_Kind] = []

    def gather_pool(self, steps: int, own: ItemRows) -> None:
        """Draw the pool for so many batches that read ``own`` rows, distinct and of items, until
        :meth:`release_pool`. No item may come or go meanwhile.

        A catalogue that such a window would touch all the same has no pool.
        """
        self.release_pool()
        items, number = len(self._vocabulary), self._number
        if items <= max(POOL, 2 * number, steps * number // WHOLE):
            return
        half = number // 2
        others = max(number // _FEWEST, half - len(own), POOL * TURNS // steps)
        others = min(others, number - min(len(own), half), items - len(own))
        size = min(items - len(own), max(POOL, 2 * others, steps * others // TURNS))
        pool = draw_items(self._vocabulary, size, own)
        mine = min(len(own), number - others)
        kinds = [_Kind(own, mine, len(own)), _Kind(pool, others, items - len(own))]
        self._kinds = [kind for kind in kinds if kind.drawn]

    def release_pool(self) -> None:
        """Batches draw evenly from all items again."""
        self._kinds = []

    def draw(self) -> tuple[Tensor, Tensor]:
        """Ascending rows ``(m,)`` of a batch's negatives, and the logarithms ``(m,)`` of how many
        items each stands for."""
        items = len(self._vocabulary)
        if items <= self._number:
            return torch.from_numpy(self._vocabulary.item_rows()), torch.zeros(items, dtype=_EXACT)
        if not self._kinds:
            each = torch.full((self._number,), math.log(items / self._number), dtype=_EXACT)
            return torch.from_numpy(draw_items(self._vocabulary, self._number)), each
        drawn = [kind.rows[_choose(len(kind.rows), kind.drawn)] for kind in self._kinds]
        stand = [np.full(kind.drawn, math.log(kind.items / kind.drawn)) for kind in self._kinds]
        rows, order = np.concatenate(drawn), np.argsort(np.concatenate(drawn))
        return torch.from_numpy(rows[order]), torch.from_numpy(np.concatenate(stand)[order])


_NOTHING: ItemRows = np.zeros(0, np.int64)


def draw_items(vocabulary: Vocabulary, number: int, without: ItemRows = _NOTHING) -> ItemRows:
    """``number`` different rows of items, ascending; each set of them is as likely as any other.

    None is of the ascending rows ``without``, which are of items.
    """
    rows, items = vocabulary.rows, len(vocabulary) - len(without)
    if rows <= _SPARSE * number or rows > 2 * items:
        rest = np.setdiff1d(vocabulary.item_rows(), without, assume_unique=True)
        return np.sort(rest[_choose(items, number)])

    def draw() -> ItemRows:
        drawn: ItemRows = torch.randint(1, rows, (2 * number,)).numpy()
        return drawn[vocabulary.holds_item(drawn) & ~np.isin(drawn, without)]

    return np.sort(_different(draw, number))


def _choose(among: int, number: int) -> ItemRows:
    """``number`` different numbers below ``among``, evenly."""
    if among <= _SPARSE * number:
        return torch.randperm(among)[:number].numpy()
    return _different(lambda: torch.randint(among, (2 * number,)).numpy(), number)


def _different(draw: Callable[[], ItemRows], number: int) -> ItemRows:
    """The first ``number`` different ones of a sequence of even draws, which are an even draw
    without repeats."""
    drawn = _NOTHING
    while len(drawn) < number:
        drawn = np.concatenate([drawn, draw()])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    return drawn[:number]


def clashes(drawn: Tensor, targets: Tensor) -> Tensor:
    """Where each target stands in the ascending rows ``drawn``, -1 where it does not."""
    at = torch.searchsorted(drawn, targets).clamp_(max=max(0, len(drawn) - 1))
    if not len(drawn):
        return torch.full_like(targets, -1)
    return torch.where(drawn[at] == targets, at, -1)
