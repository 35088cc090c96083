"""What fading counts add to the scores of one version: features of rows, links, and their weights.

The score is a log-linear pool (Klakow 1998, "Log-linear interpolation of language models"): a
weighted sum of the network's logit, of the logarithms of an item's fading counts (of all sightings,
and of those that visits begin with) and of its share of all sightings, and of how much oftener than
by chance it has followed the user's last item. Each place in a user's sequence has weights of its
own: at the first event nothing is known but what is hot, at the tenth there is a history, and a
user who comes back after a pause begins anew. Items that the user has had lately have a weight too.
What follows an item is sparse, as these are, so that pooling costs a request a product with few
columns and a few additions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from everfresh.model.trends.contexts import (
    LATELY,
    PLACE_BEGINS,
    PLACES,
    Contexts,
    place_of,
    places_of,
)
from everfresh.model.trends.counts import FLOOR, HALF_LIVES, LIVES, Floats, Ints, total
from everfresh.model.trends.followers import COUNTS, Rows

COLUMNS = len(LIVES) + 1
"""Features of a row: logarithms of its fading counts, and of its share of all sightings."""
ALL_TIME = COLUMNS - 1
"""The column of shares of all sightings."""
LINKS = COUNTS
"""Features of a link: lately, for longer, and by the followings of its item alone."""
_HELD = 0, 1, 0
"""Which share of all sightings each is held against: lately or for longer."""
_SHARES = 2
AGAIN = 1 + COLUMNS + LINKS
"""The weight of what the user has had lately."""
WEIGHTS = AGAIN + 1
"""Of the network's logit, of the features of a row, of those of a link, and that one."""

_DOUBT = 5.0
"""Followings that are added to all of an item's that were seen, so that one proves little."""

_EARLIER = (0, 1, 2, 3, 5, 6, 7, AGAIN)
"""The weights that earlier builds have: none of what visits begin with, nor of followings by those
of their item alone."""
EARLIER_WEIGHTS = (len(PLACE_BEGINS), len(_EARLIER) - 1), (PLACES, len(_EARLIER))
"""The shapes that they have there. By the first nobody comes back, and nothing is had again."""


def column_of(half_life: float) -> int:
    """The feature of a row whose counts fade most nearly like those of ``half_life`` events, which
    may be infinite."""
    if math.isinf(half_life):
        return ALL_TIME
    apart = [abs(math.log2(half_life / each)) for each in HALF_LIVES]
    return apart.index(min(apart))


def network_alone() -> Floats:
    """Weights ``(PLACES, WEIGHTS)`` by which a score is the network's logit."""
    weights = np.zeros((PLACES, WEIGHTS), np.float32)
    weights[:, 0] = 1.0
    return weights


def of_today(weights: Floats) -> Floats:
    """Weights ``(places, WEIGHTS)`` of those of any build: what it did not count weighs nothing."""
    if weights.shape[1] == WEIGHTS:
        return weights
    wide = np.zeros((len(weights), WEIGHTS), np.float32)
    wide[:, list(_EARLIER[: weights.shape[1]])] = weights
    return wide


def widened(weights: Floats) -> Floats:
    """Weights ``(PLACES, WEIGHTS)`` to learn from on, of those of fewer places: a user who comes
    back begins as one at the first event."""
    return weights if len(weights) == PLACES else np.concatenate([weights, weights[:1]])


class Following(Protocol):
    """What has followed each item; see :class:`everfresh.model.trends.followers.Followers`."""

    def after(self, items: Ints, clock: int) -> tuple[Ints, Floats]:
        """Followers of ``items`` ``(n, PLACES)`` and their counts at event number ``clock``."""

    def after_one(self, item: int, clock: int) -> tuple[Rows, Floats]:
        """The same of one item."""


def features_of(faded: Floats, log_shares: Floats) -> Floats:
    """Features ``(n, COLUMNS)`` of rows with these faded counts ``(n, lives)`` and logarithms
    ``(n,)`` of their shares of all sightings; a count that an earlier build lacks says nothing."""
    features = np.zeros((len(faded), COLUMNS), np.float32)
    np.log(faded + np.float32(FLOOR), out=features[:, : faded.shape[1]])
    features[:, ALL_TIME] = log_shares
    return features


def chances(faded: Floats, rows: int, clock: int) -> Floats:
    """What links to the same rows are held against ``(n, 2)``: their share of all sightings, lately
    and for longer, of ``rows`` in all, as of event number ``clock``."""
    chance = np.empty((len(faded), _SHARES), np.float32)
    for at, life in enumerate(HALF_LIVES[:_SHARES]):
        everything = np.float32(total(clock, life) + FLOOR * rows)
        # Column by column: numpy is slow at rows of two.
        chance[:, at] = (faded[:, at] + np.float32(FLOOR)) / everything
    return chance


def links_of(counts: Floats, chance: Floats) -> Floats:
    """Features ``(…, PLACES, LINKS)`` of the links of an item, from their counts and what they are
    held against: how much oftener than by chance each was followed, of all that were. A count that
    an earlier build lacks says nothing."""
    followed = counts.sum(axis=-2, keepdims=True) + np.float32(_DOUBT)
    known = counts.shape[-1]
    links = np.zeros((*counts.shape[:-1], LINKS), np.float32)
    links[..., :known] = np.log1p(counts / (chance[..., list(_HELD[:known])] * followed))
    return links


def links_added(links: Floats, weights: Floats) -> Floats:
    """What links ``(n, PLACES, LINKS)`` add by weights ``(n, WEIGHTS)``."""
    added: Floats = np.einsum("npf,nf->np", links, weights[:, 1 + COLUMNS : AGAIN])
    return added


def weighed(features: Floats, weights: Floats) -> Floats:
    """The product of both, over the few columns of one or of the other.

    OpenBLAS may flag an invalid operation in so narrow a product by chance, though all that it is
    given and all that it gives is finite (numpy/numpy, issues 13173 and 24067)."""
    with np.errstate(invalid="ignore"):
        product: Floats = features @ weights
    return product


def places_among(rows: Ints, order: Ints, wanted: Ints) -> tuple[Ints, Ints, Ints]:
    """Where the ``wanted`` ``(n, m)`` stand that are among the ``rows``, which ``order`` sorts, and
    at which of these; row 0 stands nowhere."""
    place = np.minimum(np.searchsorted(rows, wanted, sorter=order), len(rows) - 1)
    columns = order[place]
    of, at = np.nonzero((rows[columns] == wanted) & (wanted != 0))
    return of, at, columns[of, at]


def among(rows: Ints, few: Ints) -> npt.NDArray[np.bool_]:
    """Which of the ``rows`` are one of a ``few``; ``np.isin`` takes several times as long."""
    ordered = np.sort(few)
    place = np.minimum(np.searchsorted(ordered, rows), len(ordered) - 1)
    found: npt.NDArray[np.bool_] = ordered[place] == rows
    return found


@dataclass(frozen=True)
class TrendTable:
    """``features`` ``(rows, COLUMNS)`` of each row, and ``chance`` ``(rows, 2)``, what a link to it
    is held against; ``weights`` ``(places, WEIGHTS)``. All as of
    event number ``clock``, at the stream's own ``time`` in UTC seconds, 0 if it is not known."""

    features: Floats
    chance: Floats
    followers: Following
    clock: int
    weights: Floats
    time: int = 0
    _pooled: dict[int, Floats] = field(default_factory=dict, repr=False, compare=False)
    """The rows' features as a place weighs them ``(rows,)``, of places that were asked for."""

    def weights_of(self, contexts: Contexts) -> Floats:
        """The weights ``(n, WEIGHTS)`` that hold for each."""
        weights: Floats = self.weights[places_of(contexts, self.time, len(self.weights))]
        return weights

    def place_of(self, known: int, at: int) -> int:
        """Which weights hold after so many known events, the last of them ``at`` UTC seconds."""
        return place_of(known, at, self.time, len(self.weights))

    def features_of(self, rows: Ints | slice) -> Floats:
        """Features of these rows, ascending; ``(n, COLUMNS)``."""
        features: Floats = self.features[rows]
        return features

    def links(self, last: Ints) -> tuple[Ints, Floats]:
        """Followers of the rows ``last`` ``(n, PLACES)``, and features of these links
        ``(n, PLACES, LINKS)``; row 0, which is no item, fills what is left."""
        rows, counts = self.followers.after(last, self.clock)
        return rows, links_of(counts, self.chance[rows])

    def pool(self, logits: Floats, contexts: Contexts) -> None:
        """Make scores of the network's ``logits`` ``(n, rows)``, in their place."""
        weights = self.weights_of(contexts)
        logits *= weights[:, :1]
        logits += weighed(weights[:, 1 : 1 + COLUMNS], self.features.T)
        rows, links = self.links(contexts.last)
        # An item follows another in one place only; row 0 is no item, whatever it scores.
        each = np.arange(len(rows))[:, None]
        logits[each, rows] += links_added(links, weights)
        # An item that is there twice counts once, so that which of both is written is the same.
        logits[each, contexts.lately] += weights[:, AGAIN:]

    def pool_one(self, logits: Floats, rows: Ints, at: int) -> None:
        """The same for the ``logits`` ``(rows,)`` of one user, for whom it is much cheaper.

        ``rows`` are those of all known events, the last of them ``at`` UTC seconds."""
        place = self.place_of(len(rows), at)
        weights = self.weights[place]
        logits *= weights[0]
        logits += self._pooled_for(place)
        if not len(rows):
            return
        if last := int(rows[-1]):
            followers, added = self._added_after(last, weights)
            logits[followers] += added
        logits[rows[-LATELY:]] += weights[AGAIN]

    def _added_after(self, last: int, weights: Floats) -> tuple[Rows, Floats]:
        """What has followed the row ``last``, and what its links add by ``weights`` ``(WEIGHTS,)``.

        As :func:`links_of` and :func:`links_added`, of one item alone: to a request the general
        code costs more than its numbers."""
        followers, counts = self.followers.after_one(last, self.clock)
        known = counts.shape[1]
        links: Floats = self.chance[followers].take(_HELD[:known], axis=1)
        links *= counts.sum(axis=0) + np.float32(_DOUBT)
        np.divide(counts, links, out=links)
        np.log1p(links, out=links)
        # No product of matrices: see weighed.
        links *= weights[1 + COLUMNS : 1 + COLUMNS + known]
        return followers, links.sum(axis=1)

    def follow(self, before: TrendTable) -> None:
        """Make ready what ``before``, in whose place this one comes, was asked for by
        :meth:`pool_one`, so that no request has to."""
        for place in list(before._pooled):
            self._pooled_for(place)

    def _pooled_for(self, place: int) -> Floats:
        pooled = self._pooled.get(place)
        if pooled is None:
            weights = self.weights[place, 1 : 1 + COLUMNS]
            pooled = self._pooled[place] = weighed(self.features, weights)
        return pooled

    def pool_some(self, logits: Floats, rows: Ints, contexts: Contexts) -> None:
        """The same for ``logits`` ``(n, m)`` of the ``m`` distinct ``rows`` alone."""
        weights = self.weights_of(contexts)
        logits *= weights[:, :1]
        logits += weighed(weights[:, 1 : 1 + COLUMNS], self.features[rows].T)
        if not len(rows):
            return
        followers, links = self.links(contexts.last)
        added = links_added(links, weights)
        order = np.argsort(rows)
        of, at, columns = places_among(rows, order, followers)
        logits[of, columns] += added[of, at]
        of, _, columns = places_among(rows, order, contexts.lately)
        logits[of, columns] += weights[of, AGAIN]

    def pool_some_for_one(self, logits: Floats, rows: Ints, known: Ints, at: int) -> None:
        """The same for the ``logits`` ``(m,)`` of one user for the ``m`` distinct ``rows``; the
        user as of :meth:`pool_one`, with the rows ``known``."""
        weights = self.weights[self.place_of(len(known), at)]
        logits *= weights[0]
        logits += weighed(self.features[rows], weights[1 : 1 + COLUMNS])
        if len(known):
            logits[among(rows, known[-LATELY:])] += weights[AGAIN]
        last = int(known[-1]) if len(known) else 0
        if not last:
            return
        followers, added = self._added_after(last, weights)
        order = np.argsort(followers)
        place = np.minimum(np.searchsorted(followers, rows, sorter=order), len(order) - 1)
        of = order[place]
        found = np.flatnonzero((followers[of] == rows) & (rows != 0))
        logits[found] += added[of[found]]
