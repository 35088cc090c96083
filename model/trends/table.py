"""What fading counts add to the scores of one version: features of rows, links, and their weights.

The score is a log-linear pool (Klakow 1998, "Log-linear interpolation of language models"): a
weighted sum of the network's logit, of the logarithms of an item's fading counts and of its share
of all sightings, and of how much oftener than by chance it has followed the user's last item. Each
place in a user's sequence has weights of its own: at the first event nothing is known but what is
hot, at the tenth there is a history. What follows an item is sparse, so that pooling costs a
request a product with few columns and a few additions.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from everfresh.model.trends.counts import FLOOR, HALF_LIVES, FadingCounts, Floats, Ints, total
from everfresh.model.trends.followers import Followers

PLACE_BEGINS = (0, 1, 2, 3, 5, 10)
"""Numbers of known events from which a place of its own begins."""
COLUMNS = len(HALF_LIVES) + 1
"""Features of a row: logarithms of its fading counts, and of its share of all sightings."""
WEIGHTS = 1 + COLUMNS + 2
"""Of the network's logit, of the features of a row, of those of a link (lately, and for longer)."""

_CHANCE = 20.0
"""Followings by chance that are added to those that were seen, so that one proves little."""
_LATELY = 1
"""The half-life whose counts say what is chance lately."""


@dataclass(frozen=True)
class Contexts:
    """After which events items are scored: ``last`` ``(n,)`` is the row of the last one, 0 where
    there is none or it has no row, and ``known`` ``(n,)`` the number of events before."""

    last: Ints
    known: Ints

    def part(self, part: slice) -> Self:
        """Some of them."""
        return type(self)(self.last[part], self.known[part])


def network_alone() -> Floats:
    """Weights ``(places, WEIGHTS)`` by which a score is the network's logit."""
    weights = np.zeros((len(PLACE_BEGINS), WEIGHTS), np.float32)
    weights[:, 0] = 1.0
    return weights


@dataclass(frozen=True)
class TrendTable:
    """``features`` ``(rows, COLUMNS)`` of each row, and ``chance`` ``(rows, 2)``, what a link to it
    is held against; ``weights`` ``(places, WEIGHTS)``. All as of event number ``clock``."""

    features: Floats
    chance: Floats
    followers: Followers
    clock: int
    weights: Floats
    _pooled: dict[int, Floats] = field(default_factory=dict, repr=False, compare=False)
    """The rows' features as a place weighs them ``(rows,)``, of places that were asked for."""

    @classmethod
    def of(
        cls,
        counts: FadingCounts,
        followers: Followers,
        log_shares: Floats,
        clock: int,
        weights: Floats,
    ) -> TrendTable:
        """``log_shares`` ``(rows,)`` are of all sightings."""
        faded = counts.at(clock) + np.float32(FLOOR)
        features = np.concatenate([np.log(faded), log_shares[:, None]], axis=1)
        lately = faded[:, _LATELY] / (total(clock, HALF_LIVES[_LATELY]) + FLOOR * len(faded))
        chance = _CHANCE * np.stack([lately, np.exp(log_shares)], axis=1)
        return cls(
            features.astype(np.float32), chance.astype(np.float32), followers, clock, weights
        )

    def places(self, known: Ints) -> Ints:
        """Which weights hold after so many known events ``(n,)``."""
        places: Ints = np.searchsorted(PLACE_BEGINS, known, side="right") - 1
        return places

    def links(self, last: Ints) -> tuple[Ints, Floats]:
        """Followers of the rows ``last`` ``(n, PLACES)``, and features of these links
        ``(n, PLACES, 2)``; row 0, which is no item, fills what is left."""
        rows, counts = self.followers.after(last, self.clock)
        return rows, np.log1p(counts / self.chance[rows])

    def pool(self, logits: Floats, contexts: Contexts) -> None:
        """Make scores of the network's ``logits`` ``(n, rows)``, in their place."""
        weights = self.weights[self.places(contexts.known)]
        logits *= weights[:, :1]
        logits += weights[:, 1 : 1 + COLUMNS] @ self.features.T
        rows, links = self.links(contexts.last)
        # An item follows another in one place only; row 0 is no item, whatever it scores.
        logits[np.arange(len(rows))[:, None], rows] += self._added(links, weights)

    def pool_one(self, logits: Floats, last: int, known: int) -> None:
        """The same for the ``logits`` ``(rows,)`` of one user, for whom it is much cheaper."""
        place = bisect_right(PLACE_BEGINS, known) - 1
        weights = self.weights[place]
        pooled = self._pooled.get(place)
        if pooled is None:
            pooled = self._pooled[place] = self.features @ weights[1 : 1 + COLUMNS]
        logits *= weights[0]
        logits += pooled
        if last:
            rows, counts = self.followers.after_one(last, self.clock)
            links = np.log1p(counts / self.chance[rows])
            logits[rows] += links @ weights[1 + COLUMNS :]

    def pool_some(self, logits: Floats, rows: Ints, contexts: Contexts) -> None:
        """The same for ``logits`` ``(n, m)`` of the ``m`` distinct ``rows`` alone."""
        weights = self.weights[self.places(contexts.known)]
        logits *= weights[:, :1]
        logits += weights[:, 1 : 1 + COLUMNS] @ self.features[rows].T
        if not len(rows):
            return
        followers, links = self.links(contexts.last)
        added = self._added(links, weights)
        order = np.argsort(rows)
        place = np.minimum(np.searchsorted(rows, followers, sorter=order), len(rows) - 1)
        column = order[place]
        of, at = np.nonzero((rows[column] == followers) & (followers != 0))
        logits[of, column[of, at]] += added[of, at]

    def pool_some_for_one(self, logits: Floats, rows: Ints, last: int, known: int) -> None:
        """The same for the ``logits`` ``(m,)`` of one user for the ``m`` distinct ``rows``."""
        weights = self.weights[bisect_right(PLACE_BEGINS, known) - 1]
        logits *= weights[0]
        logits += self.features[rows] @ weights[1 : 1 + COLUMNS]
        if not last:
            return
        followers, counts = self.followers.after_one(last, self.clock)
        links = np.log1p(counts / self.chance[followers])
        order = np.argsort(followers)
        place = np.minimum(np.searchsorted(followers, rows, sorter=order), len(order) - 1)
        of = order[place]
        at = np.flatnonzero((followers[of] == rows) & (rows != 0))
        logits[at] += links[of[at]] @ weights[1 + COLUMNS :]

    @staticmethod
    def _added(links: Floats, weights: Floats) -> Floats:
        added: Floats = np.einsum("npf,nf->np", links, weights[:, 1 + COLUMNS :])
        return added
