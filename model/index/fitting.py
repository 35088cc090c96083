"""Centroids of item rows by spherical k-means, and the nearest centroid of each row.

Seeded, and on the CPU in pieces of one size, so that the same rows give the same lists (law 5).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from everfresh.model.touched_rows import Ints

_SAMPLE = 32
"""Rows that centroids are found from, for each of them."""
_ROUNDS = 4
_PIECE = 4_096


def number_of_lists(items: int) -> int:
    """How many lists so many items have."""
    return max(1, 2 * math.isqrt(items))


def find_centroids(table: Tensor, rows: Ints, seed: int) -> Tensor:
    """Unit vectors ``(lists, dim)`` of a sample of these ``rows`` of ``table``."""
    lists = min(number_of_lists(len(rows)), len(rows))
    rng = np.random.Generator(np.random.PCG64(seed))
    chosen = rng.choice(rows, min(len(rows), _SAMPLE * lists), replace=False)
    sample = functional.normalize(table[torch.from_numpy(chosen)].cpu(), dim=1)
    centroids = sample[:lists].clone()
    for _ in range(_ROUNDS):
        of = torch.from_numpy(nearest_centroids(sample, None, centroids))
        sums = torch.zeros_like(centroids).index_add_(0, of, sample)
        held = torch.bincount(of, minlength=lists) > 0
        centroids[held] = functional.normalize(sums[held], dim=1)
    return centroids


def nearest_centroids(table: Tensor, rows: Ints | None, centroids: Tensor) -> Ints:
    """The list of each of these rows, or of all, ``(n,)``."""
    number = len(table) if rows is None else len(rows)
    found = np.zeros(number, np.int64)
    for begin in range(0, number, _PIECE):
        part = slice(begin, begin + _PIECE)
        some = table[part] if rows is None else table[torch.from_numpy(rows[part])]
        # The product with a row that is longer only grows: the nearest is the same.
        found[part] = (some.cpu() @ centroids.T).argmax(dim=1).numpy()
    return found
