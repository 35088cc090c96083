"""Items that have a record and no row yet: how they score beside those of a version.

A cold item's score is the network's product with where its row would point, weighed as the network
is, and an offset: how often items are chosen that nobody has chosen before. It has no counts and no
links. So scores of cold items and of others stand on one scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from everfresh.contracts.event import ItemId
from everfresh.contracts.window import DecodedExample
from everfresh.model.content.features import Features, Matrix
from everfresh.model.metrics import MISS, Ranks
from everfresh.model.network.batches import EncodedExample, encode_example
from everfresh.model.ranking import RankedTargets, Scorer, rank_targets
from everfresh.model.recommender import Recommender
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import Contexts

_BLOCK_SCORES = 8_000_000


@dataclass(frozen=True)
class ColdItems:
    """For one version: where each of ``places`` would point, over the temperature, ``(n, dim)``."""

    places: Mapping[ItemId, int]
    vectors: Matrix
    offset: float

    @classmethod
    def of(cls, recommender: Recommender, known: Mapping[ItemId, Features]) -> ColdItems:
        """Those of the ``known`` that have no row; none where the version has no map."""
        content, vocabulary = recommender.content, recommender.vocabulary
        cold = [item for item in known if item not in vocabulary] if content else []
        vectors = pointing(recommender, [known[item] for item in cold])
        offset = content.offset if content else 0.0
        return cls({item: place for place, item in enumerate(cold)}, vectors, offset)

    def scores(self, users: Matrix, weights: Floats) -> Matrix:
        """Scores ``(users, n)``; the network weighs ``weights`` ``(users,)``."""
        made: Matrix = users @ self.vectors.T
        made *= weights[:, None]
        made += np.float32(self.offset)
        return made


def pointing(recommender: Recommender, features: Sequence[Features]) -> Matrix:
    """Where rows of these would point ``(n, dim)``, over the temperature."""
    if not features or not recommender.content:
        return np.zeros((0, recommender.settings.dim), np.float32)
    made = recommender.content.predicted(features)
    made /= np.float32(recommender.settings.temperature)
    return made


@dataclass(frozen=True)
class WithCold:
    """A contender: a version, and the cold items that it would recommend."""

    recommender: Recommender
    known: Mapping[ItemId, Features]

    def ranks(self, examples: Sequence[DecodedExample], exclude_seen: bool) -> Ranks:
        """See ``Recommender.ranks``; among rows and cold items alike."""
        cold = ColdItems.of(self.recommender, self.known)
        if not cold.places:
            return self.recommender.ranks(examples, exclude_seen)
        return _ranks(self.recommender, cold, examples, exclude_seen)


def _ranks(
    recommender: Recommender,
    cold: ColdItems,
    examples: Sequence[DecodedExample],
    exclude_seen: bool,
) -> Ranks:
    encoded = [encode_example(example, recommender.vocabulary) for example in examples]
    table, length = recommender.trend_table(), recommender.settings.max_length
    scorer = Scorer(recommender.network, recommender.catalogue(), table)
    found = rank_targets(scorer, encoded, length, exclude_seen)
    weights = table.weights[table.places(found.contexts.known)][:, 0]
    targets, seen = _cold_targets(cold, examples)
    users = found.users.cpu().numpy()
    ranks, own = found.ranks.copy(), found.own.cpu().numpy()
    step = max(1, _BLOCK_SCORES // len(cold.places))
    for begin in range(0, len(ranks), step):
        part = slice(begin, begin + step)
        scores = cold.scores(users[part], weights[part])
        mine = np.flatnonzero(targets[part] >= 0)
        own[begin + mine] = scores[mine, targets[part][mine]]
        if exclude_seen:
            for at, places in seen.items():
                if begin <= at < begin + step:
                    scores[at - begin, places] = -np.inf
        ahead = (scores >= own[part, None]).sum(1)
        ranks[part] += ahead * (ranks[part] != MISS)
        warm = _warm_scores(scorer, found, encoded, begin + mine, exclude_seen)
        for at, of_rows in zip(mine.tolist(), warm, strict=True):
            if not (exclude_seen and targets[begin + at] in seen.get(begin + at, ())):
                ranks[begin + at] = int(ahead[at]) + int((of_rows >= own[begin + at]).sum())
    return ranks


def _warm_scores(
    scorer: Scorer,
    found: RankedTargets,
    encoded: Sequence[EncodedExample],
    wanted: Ints,
    exclude_seen: bool,
) -> Iterator[Matrix]:
    """For each of these targets the scores of all rows; of those that its user had, none."""
    firsts = np.cumsum([0, *(each.codes.shape[1] - each.first_target for each in encoded)])
    for at in wanted.tolist():
        context = Contexts(found.contexts.last[[at]], found.contexts.known[[at]])
        with torch.inference_mode():
            scores = scorer.scores(found.users[[at]], context)[0].cpu().numpy().copy()
        if exclude_seen:
            of = int(np.searchsorted(firsts, at, side="right")) - 1
            example = encoded[of]
            scores[example.codes[0, : example.first_target + at - firsts[of]]] = -np.inf
        yield scores


def _cold_targets(
    cold: ColdItems, examples: Sequence[DecodedExample]
) -> tuple[Ints, dict[int, list[int]]]:
    """The place of each target that is cold, -1 for others; and by target, where there are any, the
    cold items that its user had before."""
    targets: list[int] = []
    seen: dict[int, list[int]] = {}
    for example in examples:
        had = [cold.places[each.item] for each in example.context if each.item in cold.places]
        for target in example.targets:
            if had:
                seen[len(targets)] = list(had)
            place = cold.places.get(target.item, -1)
            targets.append(place)
            if place >= 0:
                had.append(place)
    return np.asarray(targets, np.int64), seen
