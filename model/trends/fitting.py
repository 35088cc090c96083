"""How much counts weigh beside the network: learnt from a window before the network learns it.

Targets that nobody has learnt yet tell how far each part can be trusted (stacking: Wolpert 1992);
on what it was trained on a network would look better than it is. The likelihood of a log-linear
pool is concave in its weights, so that a few steps find them. The weights of the version before
stand for what earlier windows said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from everfresh.model.trends.contexts import Contexts, places_of
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import AGAIN, COLUMNS, TrendTable, places_among, widened
from everfresh.model.trends.tail import Tail

MOST_TARGETS = 2_048
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


@dataclass(frozen=True)
class Evidence:
    """What trends say of rivals before each of some targets: features ``(n, m, COLUMNS)``; links,
    each with the target's number, the rival's, and features ``(links, LINKS)``; which rivals
    ``again`` ``(2, pairs)``, by target and rival, the user has had lately; and the targets'
    ``places`` ``(n,)``."""

    features: Floats
    at: Ints
    columns: Ints
    links: Floats
    again: Ints
    places: Ints

    @classmethod
    def of(cls, trends: TrendTable | Tail, rows: Ints, contexts: Contexts) -> Self:
        """Of the rivals' ``rows`` in these contexts ``(n,)``."""
        order = np.argsort(rows)
        features = np.empty((len(rows), COLUMNS), np.float32)
        features[order] = trends.features_of(rows[order])
        followers, links = trends.links(contexts.last)
        at, slot, columns = places_among(rows, order, followers)
        of, _, had = places_among(rows, order, contexts.lately)
        again = np.unique(np.stack([of, had]), axis=1)
        everywhere = np.broadcast_to(features, (len(contexts.last), *features.shape))
        places = places_of(contexts, trends.time)
        return cls(everywhere, at, columns, links[at, slot], again, places)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of all their targets, one after another."""
        begins = np.cumsum([0, *(len(part.features) for part in parts)]).tolist()
        numbered = list(zip(parts, begins, strict=False))
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.at + begin for part, begin in numbered]),
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.links for part in parts]),
            np.concatenate([_moved(part.again, begin) for part, begin in numbered], axis=1),
            np.concatenate([part.places for part in parts]),
        )


def _moved(again: Ints, begin: int) -> Ints:
    """Pairs of targets that are numbered from ``begin`` on."""
    return np.stack([again[0] + begin, again[1]])


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
    wanted = torch.from_numpy(order[np.searchsorted(rivals.rows, targets, sorter=order)])
    fixed, network = torch.from_numpy(rivals.log_each), torch.from_numpy(logits)
    features = torch.from_numpy(evidence.features)
    at, columns = torch.from_numpy(evidence.at), torch.from_numpy(evidence.columns)
    links = torch.from_numpy(evidence.links)
    whose, had = torch.from_numpy(evidence.again)
    held = torch.from_numpy(widened(before))
    places = torch.from_numpy(evidence.places)
    weights = held.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([weights], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        mine = weights[places]
        scores = mine[:, :1] * network + fixed
        of_rows = mine[:, 1 : 1 + COLUMNS, None]
        scores = scores + torch.bmm(features, of_rows).squeeze(2)
        added = (links * mine[at, 1 + COLUMNS : AGAIN]).sum(1)
        scores = scores.index_put((at, columns), added, accumulate=True)
        scores = scores.index_put((whose, had), mine[whose, AGAIN], accumulate=True)
        cost = functional.cross_entropy(scores, wanted, reduction="sum")
        cost = cost + _TRUST * (weights - held).square().sum()
        torch.autograd.backward(cost)
        return cost

    step: Callable[[Callable[[], Tensor]], Tensor] = optimizer.step
    step(loss)
    fitted: Floats = weights.detach().numpy()
    # A network that counted against its own answers would make free rows the best ones.
    fitted[:, 0] = np.maximum(fitted[:, 0], _LEAST)
    return fitted if np.isfinite(fitted).all() else before
