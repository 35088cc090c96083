"""Ranking quality from ranks: hit rate, NDCG and reciprocal rank with one relevant item."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.int64]
"""One rank per target, 1 for the best; :data:`MISS` where the target could not be ranked."""

Mask = npt.NDArray[np.bool_]
"""Which of several; of examples whose targets are to be ranked, for instance."""

_Each = TypeVar("_Each")

MISS = 2**62
"""The rank of a target that a contender does not know or has excluded: worse than any other."""


def only(each: Sequence[_Each], asked: Mask | None) -> Sequence[_Each]:
    """Those of the examples that are ``asked``; all where nothing else is said."""
    return each if asked is None else list(itertools.compress(each, asked))


def spread(asked: Mask | None, numbers: Sequence[int]) -> Mask:
    """Which targets are those of the examples that are ``asked``, which have so many each."""
    every = np.ones(len(numbers), np.bool_) if asked is None else asked
    return np.repeat(every, numbers)


def scores(ranks: Ranks, ks: Sequence[int] = (10,)) -> dict[str, float]:
    """``hr{k}``, ``ndcg{k}`` and ``mrr{k}`` for each ``k``, means over all targets.

    With one relevant item, NDCG@k is ``1 / log2(1 + rank)`` within the first k and 0 beyond, and
    MRR@k is ``1 / rank`` likewise. No targets give zeros.
    """
    out: dict[str, float] = {}
    for k in ks:
        hits = ranks[ranks <= k].astype(np.float64)
        number = max(1, len(ranks))
        out[f"hr{k}"] = len(hits) / number
        out[f"ndcg{k}"] = float(np.sum(1.0 / np.log2(1.0 + hits))) / number
        out[f"mrr{k}"] = float(np.sum(1.0 / hits)) / number
    return out
