"""Items that have a record and no row yet: how they score beside those of a version.

A cold item's score is the network's product with where its row would point, weighed as the network
is, and an offset: how often items are chosen that nobody has chosen before. It has no counts and no
links. So scores of cold items and of others stand on one scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from everfresh.contracts.event import ItemId
from everfresh.contracts.window import DecodedExample
from everfresh.model.content.features import Features, Matrix
from everfresh.model.metrics import Firsts, Ranks
from everfresh.model.ranking import Beside
from everfresh.model.ranks.rank_blocks import Heard
from everfresh.model.recommender import VERSION, Recommender
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.vocabulary.vocabulary import Vocabulary


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

    @property
    def vocabulary(self) -> Vocabulary:
        """The version's."""
        return self.recommender.vocabulary

    def ranks(
        self,
        examples: Sequence[DecodedExample],
        exclude_seen: bool,
        asked: Firsts | None = None,
    ) -> Ranks:
        """See ``Recommender.ranks``; among rows and cold items alike."""
        return self.ranks_by([VERSION], examples, exclude_seen, asked=asked)[0]

    def ranks_by(
        self,
        ways: Sequence[str | float],
        examples: Sequence[DecodedExample],
        exclude_seen: bool,
        heard: Heard | None = None,
        asked: Firsts | None = None,
    ) -> list[Ranks]:
        """See ``Recommender.ranks_by``; the network alone knows no cold items."""
        cold = ColdItems.of(self.recommender, self.known)
        beside = (
            Beside(len(cold.places), cold.scores, *_cold_targets(cold, examples))
            if cold.places
            else None
        )
        return self.recommender.ranks_by(ways, examples, exclude_seen, heard, beside, asked)


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
