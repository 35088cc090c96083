"""By how much one contender beats another on the same targets, and within which interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from everfresh.model.metrics import Ranks

MARGINS = ("hr10", "ndcg10")
"""The metrics whose margins are reported."""

RESAMPLES = 1000

MOST_DRAWN = 20_000
"""Users are drawn one by one up to so many. More are laid into as many blocks, without looking at
what they gained, and blocks are drawn: the interval is as wide, and costs no more."""


def metric_values(ranks: Ranks, metric: str) -> npt.NDArray[np.float64]:
    """What each target adds to ``hr10`` or ``ndcg10``, before the mean is taken."""
    hit = ranks <= 10
    if metric == "hr10":
        return hit.astype(np.float64)
    return np.where(hit, 1.0 / np.log2(1.0 + np.where(hit, ranks, 1)), 0.0)


def mean_with_interval(
    gained: npt.NDArray[np.float64], users: npt.NDArray[np.int64], seed: int
) -> tuple[float, float, float]:
    """Mean over events, and its 95 % interval by a percentile bootstrap over users.

    Users are drawn with all of their events, since events of one user are not independent (Efron
    and Tibshirani 1993, chapter 8, clusters). What another training seed would change is not in it.
    """
    if not len(gained):
        return 0.0, 0.0, 0.0
    sums, counts = np.bincount(users, gained), np.bincount(users)
    met = counts > 0  # numbers may be those of more users than have events here
    sums, counts = sums[met], counts[met]
    if len(sums) > MOST_DRAWN:
        block = np.arange(len(sums)) % MOST_DRAWN
        sums, counts = np.bincount(block, sums), np.bincount(block, counts)
    rng = np.random.Generator(np.random.PCG64(seed))
    means = np.empty(RESAMPLES)
    for at in range(RESAMPLES):
        drawn = rng.integers(0, len(sums), len(sums))
        means[at] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.percentile(means, (2.5, 97.5))
    return float(gained.mean()), float(low), float(high)
