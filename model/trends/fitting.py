"""How much counts weigh beside the network: learnt from a window before the network learns it.

Targets that nobody has learnt yet tell how far each part can be trusted (stacking: Wolpert 1992);
on what it was trained on a network would look better than it is. The likelihood of a log-linear
pool is concave in its weights, so that a few steps find them. The weights of the version before
stand for what earlier windows said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.evidence import Evidence
from everfresh.model.trends.likelihood import PoolLikelihood
from everfresh.model.trends.table import TrendTable, widened
from everfresh.model.vocabulary.vocabulary import UNKNOWN

MOST_TARGETS = 2_048
"""Targets of a window that the weights are learnt from; a random choice of them."""
_HOTTEST, _DRAWN = 1_024, 1_024
"""Rivals of a target where the catalogue has more: the hottest, and others by chance."""
_FOLLOWERS = 4_096
"""Rivals that have followed the last item of any; a random choice of them."""
_TRUST = 25.0
"""Precision of a weight of the version before: that of as many targets whose feature has a
variance of 1."""
_STEPS = 8
_LEAST = 0.01
"""Weight that the network keeps at least."""


@dataclass(frozen=True)
class Rivals:
    """The distinct rows that targets are held against; ``log_each`` ``(m,)`` is the logarithm of
    how many items each stands for."""

    rows: Ints
    log_each: Floats


def choose_targets(sizes: Sequence[int], seed: int) -> list[tuple[int, int]]:
    """Of examples with so many targets, some by chance that have :data:`MOST_TARGETS` together:
    each one's place, and how many of its first targets."""
    chosen: list[tuple[int, int]] = []
    left = MOST_TARGETS
    for at in np.random.Generator(np.random.PCG64(seed)).permutation(len(sizes)).tolist():
        if left <= 0:
            break
        chosen.append((at, min(left, sizes[at])))
        left -= chosen[-1][1]
    return chosen


def draw_rivals(
    table: TrendTable, items: Ints, targets: Ints, followers: Ints, seed: int
) -> Rivals:
    """All ``items``, or the hottest, the ``targets``, and samples that stand for the ``followers``
    and for the rest. So there are some 8,000 at most, whatever follows what."""
    if len(items) <= _HOTTEST + _DRAWN:
        return Rivals(items, np.zeros(len(items), np.float32))
    heat = table.features[items, 0]
    hottest = items[np.argpartition(-heat, _HOTTEST)[:_HOTTEST]]
    certain = np.setdiff1d(np.union1d(hottest, targets), [UNKNOWN])
    followers = np.setdiff1d(followers, np.append(certain, UNKNOWN))
    rest = np.setdiff1d(items, np.union1d(certain, followers), assume_unique=True)
    rng = np.random.Generator(np.random.PCG64(seed))
    rows, stand_for = [certain], [np.zeros(len(certain))]
    for group, most in ((followers, _FOLLOWERS), (rest, _DRAWN)):
        drawn = group if len(group) <= most else rng.choice(group, most, replace=False)
        rows.append(drawn)
        stand_for.append(np.full(len(drawn), np.log(max(1, len(group)) / max(1, len(drawn)))))
    return Rivals(np.concatenate(rows), np.concatenate(stand_for).astype(np.float32))


def fit_weights(
    before: Floats,
    logits: Floats,
    rivals: Rivals,
    evidence: Evidence,
    targets: Ints,
) -> Floats:
    """The weights ``(PLACES, WEIGHTS)`` after these targets, from those ``before``.

    ``logits`` ``(n, m)`` are the network's for the rivals, ``targets`` ``(n,)`` the rows clicked,
    each among the rivals.
    """
    order = np.argsort(rivals.rows)
    wanted = order[np.searchsorted(rivals.rows, targets, sorter=order)]
    likelihood = PoolLikelihood(logits, rivals.log_each, evidence, wanted)
    held = torch.from_numpy(widened(before))
    weights = held.clone()
    optimizer = torch.optim.LBFGS([weights], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        cost, weights.grad = likelihood.cost(weights)
        moved = weights - held
        weights.grad += 2.0 * _TRUST * moved
        return cost + _TRUST * moved.square().sum()

    step: Callable[[Callable[[], Tensor]], Tensor] = optimizer.step
    step(loss)
    fitted: Floats = weights.numpy()
    # A network that counted against its own answers would make free rows the best ones.
    fitted[:, 0] = np.maximum(fitted[:, 0], _LEAST)
    return fitted if np.isfinite(fitted).all() else before
