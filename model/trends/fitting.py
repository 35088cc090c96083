"""How much counts weigh beside the network: learnt from a window before the network learns it.

Targets that nobody has learnt yet tell how far each part can be trusted (stacking: Wolpert 1992);
on what it was trained on a network would look better than it is. The likelihood of a log-linear
pool is concave in its weights, so that a few steps find them. The weights of the version before
stand for what earlier windows said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import COLUMNS, Contexts, TrendTable

MOST_TARGETS = 1_024
"""Targets of a window that the weights are learnt from; a random choice of them."""
_HOTTEST, _DRAWN = 1_024, 1_024
"""Rivals of a target where the catalogue has more: the hottest, and others by chance."""
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


def draw_rivals(table: TrendTable, items: Ints, needed: Ints, seed: int) -> Rivals:
    """All ``items``, or the hottest, the ``needed`` ones, and a sample that stands for the rest."""
    if len(items) <= _HOTTEST + _DRAWN:
        return Rivals(items, np.zeros(len(items), np.float32))
    heat = table.features[items, 0]
    hottest = items[np.argpartition(-heat, _HOTTEST)[:_HOTTEST]]
    certain = np.union1d(hottest, needed)
    rest = np.setdiff1d(items, certain, assume_unique=True)
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = rng.choice(rest, min(_DRAWN, len(rest)), replace=False)
    each = np.log(max(1, len(rest)) / max(1, len(drawn)))
    stands = np.concatenate([np.zeros(len(certain)), np.full(len(drawn), each)])
    return Rivals(np.concatenate([certain, drawn]), stands.astype(np.float32))


def fit_weights(
    table: TrendTable, logits: Floats, rivals: Rivals, contexts: Contexts, targets: Ints
) -> Floats:
    """The weights ``(places, WEIGHTS)`` after these targets.

    ``logits`` ``(n, m)`` are the network's for the rivals, ``targets`` ``(n,)`` the rows clicked,
    each among the rivals.
    """
    order = np.argsort(rivals.rows)
    wanted = torch.from_numpy(order[np.searchsorted(rivals.rows, targets, sorter=order)])
    features = torch.from_numpy(table.features[rivals.rows])
    fixed, network = torch.from_numpy(rivals.log_each), torch.from_numpy(logits)
    at, columns, links = (torch.from_numpy(part) for part in _links(table, rivals.rows, contexts))
    before = torch.from_numpy(table.weights)
    places = torch.from_numpy(table.places(contexts.known))
    weights = before.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([weights], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        mine = weights[places]
        scores = mine[:, :1] * network + mine[:, 1 : 1 + COLUMNS] @ features.T + fixed
        added = (links * mine[at, 1 + COLUMNS :]).sum(1)
        scores = scores.index_put((at, columns), added, accumulate=True)
        cost = functional.cross_entropy(scores, wanted, reduction="sum")
        cost = cost + _TRUST * (weights - before).square().sum()
        torch.autograd.backward(cost)
        return cost

    step: Callable[[Callable[[], Tensor]], Tensor] = optimizer.step
    step(loss)
    fitted: Floats = weights.detach().numpy()
    # A network that counted against its own answers would make free rows the best ones.
    fitted[:, 0] = np.maximum(fitted[:, 0], _LEAST)
    return fitted if np.isfinite(fitted).all() else table.weights


def _links(table: TrendTable, rows: Ints, contexts: Contexts) -> tuple[Ints, Ints, Floats]:
    """Links from each context to the rivals: the context's number, the rival's, the features."""
    followers, links = table.links(contexts.last)
    place = np.full(len(table.features), -1)
    place[rows] = np.arange(len(rows))
    columns = np.where(followers != 0, place[followers], -1)
    at, slot = np.nonzero(columns >= 0)
    return at, columns[at, slot], links[at, slot]
