"""Which events of a history moved the score of an item: it is scored again without each of them.

Exact, since the history is read anew each time; bounded, since only the newest events are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everfresh.contracts.event import ItemId
from everfresh.model.cold_items import ColdItems
from everfresh.model.inference.incremental import Codes, HistoryStates, window_begin
from everfresh.model.inference.retrieval import Query, rows_of, scores_of, stranger
from everfresh.model.recommender import Recommender

TRIED = 20
"""Events that are left out in turn, the newest."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class History:
    """``codes`` ``(4, n)`` of a user's last events, of ``number`` in all; ``length`` are kept."""

    codes: Codes
    number: int
    length: int


@dataclass(frozen=True)
class Moved:
    """``scores`` ``(items,)`` with all events, nan for what cannot be scored; ``by``
    ``(events, items)`` how much higher they are than without each of the events ``places``."""

    scores: Floats
    by: Floats
    places: list[int]


def leave_one_out(
    recommender: Recommender, history: History, items: Sequence[ItemId], cold: ColdItems
) -> Moved:
    """What moved the scores of ``items``, of which those of ``cold`` may have no row."""
    known = history.codes.shape[1]
    places = list(range(max(0, known - TRIED), known))
    whole = _scores(recommender, _query(recommender, history, None), items, cold)
    parts = [
        _scores(recommender, _query(recommender, history, place), items, cold) for place in places
    ]
    without = np.array(parts).reshape(len(places), len(items))
    return Moved(whole, whole - without, places)


def _query(recommender: Recommender, history: History, left_out: int | None) -> Query:
    """The user, as a replica reads the same window of events, but for the one."""
    codes, settings = history.codes, recommender.settings
    capacity = min(settings.max_length - 1, history.length)
    first = history.number - codes.shape[1]
    begin = max(first, window_begin(history.number, capacity)) - first
    if left_out is not None:
        codes = np.delete(codes, left_out, axis=1)
        begin -= left_out < begin
    if not codes[0].any():
        return stranger(recommender)
    states = HistoryStates(settings.max_length)
    user = states.extend(recommender.network, codes[:, begin:]).numpy()
    return Query(user, codes[0], int(codes[3, -1]))


def _scores(
    recommender: Recommender, query: Query, items: Sequence[ItemId], cold: ColdItems
) -> Floats:
    rows = rows_of(items, recommender.vocabulary)
    scores = np.full(len(items), np.nan)
    known = np.flatnonzero(rows)
    scores[known] = scores_of(recommender, query, rows[known])
    table = recommender.trend_table()
    place = table.place_of(len(query.rows), query.at)
    of_cold = cold.scores(query.user[None], table.weights[[place], 0])[0]
    for at, item in enumerate(items):
        if (number := cold.places.get(item)) is not None:
            scores[at] = of_cold[number]
    return scores
