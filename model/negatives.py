"""The rows that batches are held against: drawn evenly and without repeats, at the sample's cost.

A window may draw a *pool* first, from which its steps draw, and another one after some steps. Every
item has the same chance to be in a pool, so each drawn row stands for as many items as without one.
What a window changes is then bounded by its steps, however large the catalogue is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import Vocabulary

POOL = 8192
"""Rows of a window's pool; twice a batch's where that is more. Smaller catalogues have none."""
TURNS = 8
"""How often a pool's rows are drawn, in the mean, before another pool is. The same few rows must
not be pushed away again and again: at 32 times ranking suffers (decision 39)."""
_SPARSE = 4
"""Rows for each one drawn, from which on draws that hit a row twice are few."""


class Negatives:
    """``number`` items' rows for each batch; all of them where the vocabulary has no more.

    Draws from torch's global generator of the CPU, on every device.
    """

    def __init__(self, vocabulary: Vocabulary, number: int) -> None:
        self._vocabulary = vocabulary
        self._number = number
        self._pool: Tensor | None = None
        self._drawn = 0

    def gather_pool(self) -> None:
        """Draw the rows that batches draw from, and draw others in time, until
        :meth:`release_pool`. No item may come or go meanwhile.
        """
        wanted = min(len(self._vocabulary), max(POOL, 2 * self._number))
        self._pool, self._drawn = torch.from_numpy(draw_items(self._vocabulary, wanted)), 0

    def release_pool(self) -> None:
        """Batches draw from all items again."""
        self._pool = None

    def draw(self) -> tuple[Tensor, float]:
        """Ascending rows of a batch's negatives, and the number of items that each stands for."""
        items = len(self._vocabulary)
        if items <= self._number:
            return torch.from_numpy(self._vocabulary.item_rows()), 1.0
        if self._pool is None:
            rows = torch.from_numpy(draw_items(self._vocabulary, self._number))
        else:
            if self._drawn + self._number > TURNS * len(self._pool):
                self.gather_pool()
            self._drawn += self._number
            rows = self._pool[torch.randperm(len(self._pool))[: self._number].sort().values]
        return rows, items / self._number


def draw_items(vocabulary: Vocabulary, number: int) -> ItemRows:
    """``number`` different rows of items, ascending; each set of them is as likely as any other."""
    rows, items = vocabulary.rows, len(vocabulary)
    if rows <= _SPARSE * number or rows > 2 * items:
        return np.sort(vocabulary.item_rows()[torch.randperm(items)[:number].numpy()])
    # The first different ones of a sequence of even draws are an even draw without repeats.
    drawn = np.zeros(0, np.int64)
    while len(drawn) < number:
        more = torch.randint(1, rows, (2 * number,)).numpy()
        drawn = np.concatenate([drawn, more[vocabulary.holds_item(more)]])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    return np.sort(drawn[:number])


def clashes(drawn: Tensor, targets: Tensor) -> Tensor:
    """Where each target stands in the ascending rows ``drawn``, -1 where it does not."""
    at = torch.searchsorted(drawn, targets).clamp_(max=max(0, len(drawn) - 1))
    if not len(drawn):
        return torch.full_like(targets, -1)
    return torch.where(drawn[at] == targets, at, -1)
