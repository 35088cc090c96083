"""The rows that an answer may hold: those of a version and, behind them, those of cold items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.rules import Filter
from everfresh.model.content.features import Matrix
from everfresh.model.inference.retrieval import Query, Scores, all_scores, rows_of, scores_of
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from everfresh.serving.items.columns import Bools, Slots
from everfresh.serving.items.view import RowView

_Cell = TypeVar("_Cell", bound="np.generic[Any]")


class AnswerRows:
    """For one request, while it holds the catalogue. Without cold items nothing costs more."""

    def __init__(self, recommender: Recommender, view: RowView) -> None:
        self._recommender = recommender
        self._view = view
        self._cold = view.cold
        self._first = recommender.vocabulary.rows

    @property
    def cold(self) -> int:
        """How many of them are of cold items."""
        return len(self._cold)

    def of(self, items: Sequence[ItemId]) -> ItemRows:
        """The row of each item, in order; ``UNKNOWN`` where it has none."""
        rows = rows_of(items, self._recommender.vocabulary)
        if self._cold:
            places = self._cold.places
            for at in np.flatnonzero(rows == UNKNOWN).tolist():
                if (place := places.get(items[at])) is not None:
                    rows[at] = self._first + place
        return rows

    def item(self, row: int) -> ItemId:
        """What stands there."""
        if row >= self._first:
            return self._cold.items[row - self._first]
        return self._recommender.vocabulary.item(row)

    def closed(self, wanted: Filter | None, *, live: bool = True) -> tuple[Bools, int]:
        """See ``RowView``; of all of them."""
        closed, left = self._view.closed(wanted, live=live)
        if not self._cold:
            return closed, left
        behind = self._cold.closed(wanted, self._view.table, live=live)
        return np.concatenate([closed, behind]), left + int(np.count_nonzero(~behind))

    def slots(self, rows: ItemRows | None) -> Slots:
        """Of these rows, or of all of them."""
        own = self._view.slots
        if rows is not None:
            return self._picked(rows, own, self._cold.slots)
        return np.concatenate([own, self._cold.slots]) if self._cold else own

    def vectors(self, rows: ItemRows) -> Matrix:
        """Where these rows point, at any length."""
        return self._picked(rows, self._recommender.catalogue().arrays[0], self._cold.vectors)

    def all_scores(self, query: Query) -> Scores:
        """The score of each; minus infinity for no row, so bar ``UNKNOWN``."""
        scores = all_scores(self._recommender, query)
        if not self._cold:
            return scores
        return np.concatenate([scores, self._cold.scores(self._recommender, query)])

    def scores_of(self, query: Query, rows: ItemRows) -> Scores:
        """The scores of distinct ``rows``, in order."""
        warm = rows < self._first
        if warm.all():
            return scores_of(self._recommender, query, rows)
        made: Scores = np.empty(len(rows), np.float32)
        made[warm] = scores_of(self._recommender, query, rows[warm])
        cold = self._cold.scores(self._recommender, query)
        made[~warm] = cold[rows[~warm] - self._first]
        return made

    def scores_of_items(self, query: Query, items: Sequence[ItemId]) -> list[float | None]:
        """The score of each item; ``None`` for one without a row."""
        rows, place = np.unique(self.of(items), return_inverse=True)
        scores = self.scores_of(query, rows)[place].tolist()
        named = zip(rows[place].tolist(), scores, strict=True)
        return [None if row == UNKNOWN else score for row, score in named]

    def _picked(
        self, rows: ItemRows, own: npt.NDArray[_Cell], cold: npt.NDArray[_Cell]
    ) -> npt.NDArray[_Cell]:
        """What stands at ``rows``: in ``own`` of the version, in ``cold`` of cold items. Costs
        nothing for others."""
        warm = rows < self._first
        if warm.all():
            return own[rows]
        made = np.empty((len(rows), *own.shape[1:]), own.dtype)
        made[warm] = own[rows[warm]]
        made[~warm] = cold[rows[~warm] - self._first]
        return made
