"""Ranking quality from ranks: hit rate, NDCG and reciprocal rank with one relevant item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from everfresh.contracts.window import DecodedExample

Ranks = npt.NDArray[np.int64]
"""One rank per target, 1 for the best; :data:`MISS` where the target could not be ranked."""

Mask = npt.NDArray[np.bool_]
"""Which of several."""

Firsts = npt.NDArray[np.int64]
"""Of each example, how many of its first targets are to be ranked; 0 for none."""

MISS = 2**62
"""The rank of a target that a contender does not know or has excluded: worse than any other."""


def only(examples: Sequence[DecodedExample], asked: Firsts | None) -> Sequence[DecodedExample]:
    """The examples with the targets that are ``asked`` alone; all where nothing else is said."""
    if asked is None:
        return examples
    pairs = zip(examples, asked.tolist(), strict=True)
    return [example.first(number) for example, number in pairs if number]


def spread(asked: Firsts | None, numbers: Sequence[int]) -> Mask:
    """Which targets are ``asked``, of examples that have so many each."""
    sizes = np.asarray(numbers, np.int64)
    if asked is None:
        return np.ones(int(sizes.sum()), np.bool_)
    at = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    found: Mask = at < np.repeat(asked, sizes)
    return found


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
