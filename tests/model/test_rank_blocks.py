"""Ranks that are found block by block are those of the plain definition, with all its ties.

All numbers here are small whole ones or quarters, so that every sum is exact in any order, and many
rows are level.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.model.catalogue import Catalogue
from everfresh.model.metrics import MISS
from everfresh.model.ranks import rank_blocks
from everfresh.model.ranks.rank_blocks import Others, RankBlocks, Targets
from everfresh.model.ranks.way_scores import Way
from everfresh.model.trends.contexts import LATELY, Contexts
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import COLUMNS, LINKS, WEIGHTS

ROWS, TARGETS, DIM = 203, 37, 6
_FREE = 9


class ByHand:
    """What trends add, all of it made up."""

    def __init__(self, seed: int) -> None:
        draws = np.random.default_rng(seed)
        self.features = draws.integers(-2, 3, (ROWS, COLUMNS)).astype(np.float32)
        self.weights = draws.integers(0, 3, (ROWS, WEIGHTS)).astype(np.float32)
        self.weights[:, 0] += 1.0
        self.followers = np.stack([draws.permutation(ROWS)[:5] for _ in range(ROWS)])
        self.strength = draws.integers(0, 4, (ROWS, 5, LINKS)).astype(np.float32)

    def weights_of(self, contexts: Contexts) -> Floats:
        return self.weights[contexts.known]

    def features_of(self, rows: Ints | slice) -> Floats:
        return self.features[rows]

    def links(self, last: Ints) -> tuple[Ints, Floats]:
        return self.followers[last], self.strength[last]

    def score(self, network: Floats, contexts: Contexts) -> Floats:
        """The plain definition, target by target."""
        scores = np.empty_like(network)
        for at, of_network in enumerate(network):
            weights = self.weights[contexts.known[at]]
            scores[at] = of_network * weights[0] + self.features @ weights[1 : 1 + COLUMNS]
            last = contexts.last[at]
            added = self.strength[last] @ weights[1 + COLUMNS : -1]
            scores[at, self.followers[last]] += added
            scores[at, np.unique(contexts.lately[at])] += weights[-1]
        scores[:, 0] = -np.inf
        return scores


def made(seed: int, exclude: bool) -> tuple[Catalogue, Targets]:
    draws = np.random.default_rng(seed)
    vectors = draws.integers(-2, 3, (ROWS, DIM)).astype(np.float32)
    bias = draws.integers(-4, 5, ROWS).astype(np.float32) / 4
    bias[_FREE] = -np.inf
    factors = draws.choice(np.float32([0.5, 1.0, 2.0]), ROWS)
    catalogue = Catalogue(*map(torch.from_numpy, (vectors, bias, factors)))
    users = torch.from_numpy(draws.integers(-2, 3, (TARGETS, DIM)).astype(np.float32))
    lately = draws.integers(0, ROWS, (TARGETS, LATELY))
    known = draws.integers(0, ROWS, TARGETS)
    contexts = Contexts(lately[:, -1], known, np.zeros(TARGETS, np.int64), lately)
    rows = draws.integers(0, ROWS, TARGETS)
    rows[:3] = 0, _FREE, ROWS - 1
    seen = [np.unique(each) for each in lately] if exclude else None
    return catalogue, Targets(np.arange(TARGETS), users, contexts, rows, seen)


def by_definition(scores: Floats, targets: Targets, others: Others | None = None) -> list[int]:
    ranks = []
    for at, row in enumerate(targets.rows.tolist()):
        mine = scores[at].copy()
        if targets.before is not None:
            mine[targets.before[at]] = -np.inf
        own = mine[row]
        if others is not None:
            place = others.places[at]
            own = float(others.scores[at, place]) if place >= 0 else own
            mine = np.append(mine, others.scores[at])
        # Row 0 is no item; what is not behind counts against the target.
        ahead = len(mine) - 1 - int(np.count_nonzero(mine[1:] < own))
        ranks.append(MISS if own == -np.inf else ahead)
    return ranks


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("rows", [17, 64, 4_096])
def test_ranks_by_blocks_are_those_of_the_plain_definition(
    rows: int, exclude: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_blocks, "ROWS", rows)
    catalogue, targets = made(rows, exclude)
    first, second = ByHand(1), ByHand(2)
    network = catalogue.item_scores(targets.users).numpy()
    feature = np.where(network == -np.inf, network, first.features[:, 2])
    ways = [Way(first), Way(second), Way(None), Way(first, 2)]
    found = RankBlocks(catalogue).ranks(targets, ways, [None] * 4)
    plain = [
        first.score(network, targets.contexts),
        second.score(network, targets.contexts),
        network,
        feature,
    ]
    for ranks, scores in zip(found, plain, strict=True):
        assert ranks.tolist() == by_definition(scores, targets)
        level = (scores == scores[np.arange(TARGETS), targets.rows][:, None]).sum(1)
        assert (level > 1).mean() > 0.2


def test_items_without_rows_are_ranked_among_the_others() -> None:
    catalogue, targets = made(5, True)
    draws, counted = np.random.default_rng(5), ByHand(3)
    scores = draws.integers(-9, 10, (TARGETS, 4)).astype(np.float32)
    others = Others(scores, draws.integers(-1, 4, TARGETS))
    targets.rows[others.places >= 0] = 0
    ranks = RankBlocks(catalogue).ranks(targets, [Way(counted)], [others])[0]
    network = catalogue.item_scores(targets.users).numpy()
    expected = by_definition(counted.score(network, targets.contexts), targets, others)
    assert ranks.tolist() == expected


@pytest.mark.parametrize("few", [1, 3])
def test_few_targets_are_ranked_as_among_many(few: int) -> None:
    catalogue, targets = made(7, False)
    blocks, way = RankBlocks(catalogue), Way(ByHand(4))
    every = blocks.ranks(targets, [way], [None])[0]
    some = blocks.ranks(targets.part(np.arange(few)), [way], [None])[0]
    assert some.tolist() == every[:few].tolist()


def test_a_model_that_knows_nothing_gains_nothing() -> None:
    catalogue, targets = made(8, False)
    for number in (0.0, float("nan")):
        same = Catalogue(catalogue.vectors, torch.full((ROWS,), number), torch.zeros(ROWS))
        ranks = RankBlocks(same).ranks(targets, [Way(None)], [None])[0]
        assert set(ranks[targets.rows > 0].tolist()) == {ROWS - 1}
