"""What trends say of the rivals of some targets, before each of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from everfresh.model.trends.contexts import Contexts, places_of
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import COLUMNS, TrendTable, places_among
from everfresh.model.trends.tail import Tail


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
