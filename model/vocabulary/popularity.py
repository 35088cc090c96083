"""Rows of items by how often they were sighted, as long as nothing changes."""

from __future__ import annotations

import numpy as np

from everfresh.model.vocabulary.sightings import Ints, SightingTable

_LEAST = 1_024
"""So many of the most popular are put in order, at least."""


class PopularityOrder:
    """Of a vocabulary as it is now: to be made anew after any change."""

    def __init__(self, seen: SightingTable, rows: Ints) -> None:
        """``rows`` are those of items, ascending."""
        self._seen = seen
        self._rows = rows
        self._first: Ints | None = None
        self._total: int | None = None

    def first(self, number: int) -> Ints:
        """At least the ``number`` most sighted, or all; equal counts in order of rows."""
        kept = self._first
        if kept is None or len(kept) < min(number, len(self._rows)):
            rows, number = self._rows, max(number, _LEAST)
            counts = self._seen.counts()[rows - 1]
            if number < len(rows):
                # Sorting a million at every version would cost more than taking it over.
                at = np.flatnonzero(counts >= np.partition(counts, -number)[-number])
                rows, counts = rows[at], counts[at]
            kept = self._first = rows[np.argsort(-counts, kind="stable")]
        return kept

    @property
    def total(self) -> int:
        """Sightings of all items together."""
        if self._total is None:
            self._total = int(self._seen.counts().sum())
        return self._total
