"""Cold items beside the rows of one version: items with a record and no row, scored by contents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.rules import Filter
from everfresh.model.cold_items import pointing
from everfresh.model.content.features import Matrix
from everfresh.model.inference.retrieval import Query, Scores
from everfresh.model.recommender import Recommender
from everfresh.serving.items.columns import FIRST, Bools, Slots
from everfresh.serving.items.filters import fits
from everfresh.serving.items.newest import NewestRecords
from everfresh.serving.items.table import ItemTable


class ColdRows:
    """Of one version: places from 0, each with an item, its slot and where it points.

    Read by requests while they hold the catalogue, and changed by its records in between. It does
    not hold the version, which is given each time: the catalogue would keep it for ever.
    """

    def __init__(self, recommender: Recommender) -> None:
        dim = recommender.settings.dim
        self._map = recommender.content.name() if recommender.content else b""
        self.items: list[ItemId] = []
        self.places: dict[ItemId, int] = {}
        self._slots = np.zeros(0, np.int32)
        self._vectors: Matrix = np.zeros((0, dim), np.float32)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def slots(self) -> Slots:
        """Of each place; a view until the next change."""
        return self._slots[: len(self.items)]

    @property
    def vectors(self) -> Matrix:
        """Where each points, over the temperature; a view until the next change."""
        return self._vectors[: len(self.items)]

    @classmethod
    def of(
        cls,
        recommender: Recommender,
        newest: NewestRecords,
        table: ItemTable,
        before: ColdRows | None = None,
    ) -> ColdRows:
        """All of the newest records whose items have no row; none where there is no map.

        By the same map, vectors of ``before`` are taken over, which has followed the records too.
        """
        made = cls(recommender)
        if recommender.content:
            vocabulary = recommender.vocabulary
            cold = [item for item in newest.items() if item not in vocabulary]
            if before is not None and before._map == made._map:
                made._take(before, cold, newest)
            more = [item for item in cold if item not in made.places]
            made.put(recommender, more, newest, table)
        return made

    def _take(self, before: ColdRows, items: Sequence[ItemId], newest: NewestRecords) -> None:
        kept = [
            item for item in items if item in before.places and newest.features(item) is not None
        ]
        places = [before.places[item] for item in kept]
        self.items, self.places = kept, {item: place for place, item in enumerate(kept)}
        self._slots, self._vectors = before._slots[places], before._vectors[places]

    def put(
        self,
        recommender: Recommender,
        items: Sequence[ItemId],
        newest: NewestRecords,
        table: ItemTable,
    ) -> None:
        """Records of these items are there or are others; one without features keeps its place."""
        if not recommender.content:
            return
        known = [
            (item, features)
            for item in items
            if item not in recommender.vocabulary
            and table.slot(item) >= FIRST
            and (features := newest.features(item)) is not None
        ]
        if not known:
            return
        vectors = pointing(recommender, [features for _, features in known])
        for (item, _), vector in zip(known, vectors, strict=True):
            place = self.places.get(item)
            if place is None:
                place = self.places[item] = len(self.items)
                self.items.append(item)
                self._make_room(place)
            self._slots[place] = table.slot(item)
            self._vectors[place] = vector

    def scores(self, recommender: Recommender, query: Query) -> Scores:
        """Of each place, on the scale of the version's rows."""
        table = recommender.trend_table() if query.trends is None else query.trends
        weight = table.weights[table.place_of(len(query.rows), query.at), 0]
        made: Scores = self.vectors @ query.user
        made *= weight
        made += np.float32(recommender.content.offset)
        return made

    def closed(self, wanted: Filter | None, table: ItemTable, *, live: bool) -> Bools:
        """Which are not to be shown; see ``RowView``."""
        slots = self.slots
        shown = table.live.values[slots] if live else np.ones(len(slots), np.bool_)
        if wanted is not None:
            shown &= fits(wanted, table, slots)
        closed: Bools = ~shown
        return closed

    def _make_room(self, place: int) -> None:
        if place >= len(self._slots):
            more = place // 4 + 64
            self._slots = np.append(self._slots, np.zeros(more, np.int32))
            blank = np.zeros((more, self._vectors.shape[1]), np.float32)
            self._vectors = np.concatenate([self._vectors, blank])
