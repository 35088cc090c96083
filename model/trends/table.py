"""What fading counts add to the scores of one version: features of rows, links, and their weights.

The score is a log-linear pool (Klakow 1998, "Log-linear interpolation of language models"): a
weighted sum of the network's logit, of the logarithms of an item's fading counts and of its share
of all sightings, and of how much oftener than by chance it has followed the user's last item. Each
place in a user's sequence has weights of its own: at the first event nothing is known but what is
hot, at the tenth there is a history. What follows an item is sparse, so that pooling costs a
request a product with few columns and a few additions.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np

from everfresh.model.trends.counts import FLOOR, HALF_LIVES, Floats, Ints, total
from everfresh.model.trends.followers import Rows

PLACE_BEGINS = (0, 1, 2, 3, 5, 10)
"""Numbers of known events from which a place of its own begins."""
COLUMNS = len(HALF_LIVES) + 1
"""Features of a row: logarithms of its fading counts, and of its share of all sightings."""
ALL_TIME = COLUMNS - 1
"""The column of shares of all sightings."""
LINKS = 2
"""Features of a link, lately and for longer: its half-lives are an item's first ones."""
WEIGHTS = 1 + COLUMNS + LINKS
"""Of the network's logit, of the features of a row, of those of a link."""

_CHANCE = 20.0
"""Followings by chance that are added to those that were seen, so that one proves little."""
_LATELY = 1
"""The half-life whose counts say what is chance lately."""


def column_of(half_life: float) -> int:
    """The feature of a row whose counts fade most nearly like those of ``half_life`` events, which
    may be infinite."""
    if math.isinf(half_life):
        return ALL_TIME
    apart = [abs(math.log2(half_life / each)) for each in HALF_LIVES]
    return apart.index(min(apart))


@dataclass(frozen=True)
class Contexts:
    """After which events items are scored: ``last`` ``(n,)`` is the row of the last one, 0 where
    there is none or it has no row, and ``known`` ``(n,)`` the number of events before."""

    last: Ints
    known: Ints

    @property
    def places(self) -> Ints:
        """Which weights hold for each ``(n,)``."""
        places: Ints = np.searchsorted(PLACE_BEGINS, self.known, side="right") - 1
        return places

    def part(self, part: slice | Ints) -> Self:
        """Some of them."""
        return type(self)(self.last[part], self.known[part])


def network_alone() -> Floats:
    """Weights ``(places, WEIGHTS)`` by which a score is the network's logit."""
    weights = np.zeros((len(PLACE_BEGINS), WEIGHTS), np.float32)
    weights[:, 0] = 1.0
    return weights


class Following(Protocol):
    """What has followed each item; see :class:`everfresh.model.trends.followers.Followers`."""

    def after(self, items: Ints, clock: int) -> tuple[Ints, Floats]:
        """Followers of ``items`` ``(n, PLACES)`` and their counts at event number ``clock``."""

    def after_one(self, item: int, clock: int) -> tuple[Rows, Floats]:
        """The same of one item."""


def features_of(faded: Floats, log_shares: Floats) -> Floats:
    """Features ``(n, COLUMNS)`` of rows with these faded counts ``(n, half-lives)`` and logarithms
    ``(n,)`` of their shares of all sightings."""
    features = np.empty((len(faded), COLUMNS), np.float32)
    np.log(faded + np.float32(FLOOR), out=features[:, :-1])
    features[:, -1] = log_shares
    return features


def chances(faded: Floats, log_shares: Floats, rows: int, clock: int) -> Floats:
    """What links to the same rows are held against ``(n, 2)``, of ``rows`` in all, as of event
    number ``clock``."""
    all_lately = total(clock, HALF_LIVES[_LATELY]) + FLOOR * rows
    lately = (faded[:, _LATELY] + np.float32(FLOOR)) / all_lately
    chance: Floats = (_CHANCE * np.stack([lately, np.exp(log_shares)], axis=1)).astype(np.float32)
    return chance


def links_of(counts: Floats, chance: Floats, last: Floats) -> Floats:
    """Features ``(…, PLACES, 2)`` of links, from their counts, what they are held against, and the
    ``(…, COLUMNS)`` features of the row that they lead from: how much oftener than by chance each
    was followed, of all the times that row was sighted."""
    often = np.exp(last[..., None, :LINKS])
    links: Floats = np.log1p(counts / (chance * (1 + often / np.float32(_CHANCE))))
    return links


@dataclass(frozen=True)
class TrendTable:
    """``features`` ``(rows, COLUMNS)`` of each row, and ``chance`` ``(rows, 2)``, what a link to it
    is held against; ``weights`` ``(places, WEIGHTS)``. All as of event number ``clock``."""

    features: Floats
    chance: Floats
    followers: Following
    clock: int
    weights: Floats
    _pooled: dict[int, Floats] = field(default_factory=dict, repr=False, compare=False)
    """The rows' features as a place weighs them ``(rows,)``, of places that were asked for."""

    def places(self, known: Ints) -> Ints:
        """Which weights hold after so many known events ``(n,)``."""
        return Contexts(known, known).places

    def features_of(self, rows: Ints) -> Floats:
        """Features of these rows, ascending; ``(n, COLUMNS)``."""
        features: Floats = self.features[rows]
        return features

    def links(self, last: Ints) -> tuple[Ints, Floats]:
        """Followers of the rows ``last`` ``(n, PLACES)``, and features of these links
        ``(n, PLACES, 2)``; row 0, which is no item, fills what is left."""
        rows, counts = self.followers.after(last, self.clock)
        return rows, links_of(counts, self.chance[rows], self.features[last])

    def pool(self, logits: Floats, contexts: Contexts) -> None:
        """Make scores of the network's ``logits`` ``(n, rows)``, in their place."""
        weights = self.weights[contexts.places]
        logits *= weights[:, :1]
        logits += weights[:, 1 : 1 + COLUMNS] @ self.features.T
        rows, links = self.links(contexts.last)
        # An item follows another in one place only; row 0 is no item, whatever it scores.
        logits[np.arange(len(rows))[:, None], rows] += self._added(links, weights)

    def pool_one(self, logits: Floats, last: int, known: int) -> None:
        """The same for the ``logits`` ``(rows,)`` of one user, for whom it is much cheaper."""
        place = bisect_right(PLACE_BEGINS, known) - 1
        weights = self.weights[place]
        logits *= weights[0]
        logits += self._pooled_for(place)
        if last:
            rows, counts = self.followers.after_one(last, self.clock)
            links = links_of(counts, self.chance[rows], self.features[last])
            logits[rows] += links @ weights[1 + COLUMNS :]

    def follow(self, before: TrendTable) -> None:
        """Make ready what ``before``, in whose place this one comes, was asked for by
        :meth:`pool_one`, so that no request has to."""
        for place in list(before._pooled):
            self._pooled_for(place)

    def _pooled_for(self, place: int) -> Floats:
        pooled = self._pooled.get(place)
        if pooled is None:
            weights = self.weights[place, 1 : 1 + COLUMNS]
            pooled = self._pooled[place] = self.features @ weights
        return pooled

    def pool_some(self, logits: Floats, rows: Ints, contexts: Contexts) -> None:
        """The same for ``logits`` ``(n, m)`` of the ``m`` distinct ``rows`` alone."""
        weights = self.weights[contexts.places]
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
        links = links_of(counts, self.chance[followers], self.features[last])
        order = np.argsort(followers)
        place = np.minimum(np.searchsorted(followers, rows, sorter=order), len(order) - 1)
        of = order[place]
        at = np.flatnonzero((followers[of] == rows) & (rows != 0))
        logits[at] += links[of[at]] @ weights[1 + COLUMNS :]

    @staticmethod
    def _added(links: Floats, weights: Floats) -> Floats:
        added: Floats = np.einsum("npf,nf->np", links, weights[:, 1 + COLUMNS :])
        return added
