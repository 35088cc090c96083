"""How much counts weigh beside the network: learnt from a window before the network learns it.

Targets that nobody has learnt yet tell how far each part can be trusted (stacking: Wolpert 1992);
on what it was trained on a network would look better than it is. The likelihood of a log-linear
pool is concave in its weights, so that a few steps find them. The weights of the version before
stand for what earlier windows said.
"""

from __future__ import annotations

import itertools
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


@dataclass(frozen=True)
class Evidence:
    """What trends say of rivals before each of some targets: features ``(parts, m, COLUMNS)``, and
    which part's each target has, in ascending order, ``part`` ``(n,)``; links, each with the
    target's number, the rival's, and features ``(links, LINKS)``; which rivals ``again``
    ``(2, pairs)``, by target and rival, the user has had lately; and the targets' ``places``
    ``(n,)``."""

    features: Floats
    part: Ints
    at: Ints
    columns: Ints
    links: Floats
    again: Ints
    places: Ints

    @classmethod
    def of(cls, trends: TrendTable | Tail, rows: Ints, contexts: Contexts) -> Self:
        """Of the rivals' ``rows`` in these contexts ``(n,)``."""
        order = np.argsort(rows)
        features = np.empty((1, len(rows), COLUMNS), np.float32)
        features[0, order] = trends.features_of(rows[order])
        followers, links = trends.links(contexts.last)
        at, slot, columns = places_among(rows, order, followers)
        of, _, had = places_among(rows, order, contexts.lately)
        again = np.unique(np.stack([of, had]), axis=1)
        part = np.zeros(len(contexts.last), np.int64)
        places = places_of(contexts, trends.time)
        return cls(features, part, at, columns, links[at, slot], again, places)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of all their targets, one after another."""
        begins = np.cumsum([0, *(len(part.part) for part in parts)]).tolist()
        numbered = list(zip(parts, begins, strict=False))
        return cls(
            np.concatenate([part.features for part in parts]),
            np.repeat(np.arange(len(parts)), [len(part.part) for part in parts]),
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
    edges = np.searchsorted(evidence.part, np.arange(len(features) + 1)).tolist()
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
        # A part's targets share its features, which are many times larger than they.
        of_parts = [
            mine[begin:end, 1 : 1 + COLUMNS] @ rows.T
            for (begin, end), rows in zip(itertools.pairwise(edges), features, strict=True)
        ]
        scores = scores + torch.cat(of_parts)
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
