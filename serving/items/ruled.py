"""A recommendation that obeys the catalogue and its rules; filters come before the best k."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Value
from everfresh.contracts.items.rules import Rules
from everfresh.model.inference.retrieval import Query, first_places, near_rows, without
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from everfresh.serving.items.answer_rows import AnswerRows
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.items.choice import Choice
from everfresh.serving.items.columns import Bools
from everfresh.serving.items.shortfall import Counted, why_fewer
from everfresh.serving.items.table import ItemTable

_NONE = Rules()
_NO_ROWS: ItemRows = np.zeros(0, np.int64)
_FEW = 8
"""Candidates fewer than one in so many are scored alone, not with all others."""


class Wanted(msgspec.Struct, frozen=True):
    """What a request asks for: ``k`` items outside ``barred``, inside ``allow`` where given.

    ``barred_items`` names those that have no row, others with them; asked where these may count.
    Where it is not ``explained``, nobody asks why there are fewer: to find out looks at all items.
    """

    k: int
    barred: ItemRows
    allow: Sequence[ItemId] | None
    rules: Rules | None
    attributes: Sequence[str] = ()
    barred_items: Callable[[], Iterable[ItemId]] = tuple
    explained: bool = True


class Ruled(msgspec.Struct, frozen=True):
    """Items, best first, with their scores; ``None`` for a pinned one that the version has not.

    ``pinned`` are the places, from 0, where a pin stands. ``offset`` is that of the last record of
    the catalogue that was known, ``None`` before the first. ``shortfall`` says why there are fewer
    than ``k``, where that was asked. ``attributes`` are those that were asked for of each item.
    """

    items: list[ItemId]
    scores: list[float | None]
    offset: int | None
    pinned: list[int]
    shortfall: str | None
    attributes: list[dict[str, Value]] | None


def ranks_few(catalogue: Catalogue, recommender: Recommender) -> bool:
    """Whether hardly any item may be shown, so that these are ranked alone. It tells of a moment
    ago, for who is not reading the catalogue."""
    view = catalogue.seen(recommender)
    left = None if view is None else view.left()
    return left is not None and left * _FEW <= recommender.vocabulary.rows


def ruled_items(
    catalogue: Catalogue, recommender: Recommender, query: Query, wanted: Wanted, now_ms: int
) -> Ruled:
    """The best items that may be shown at ``now_ms`` and fit the rules, by one state of both."""
    with catalogue.reading(recommender, now_ms):
        return ruled_in(catalogue, recommender, query, wanted)


def ruled_in(catalogue: Catalogue, recommender: Recommender, query: Query, wanted: Wanted) -> Ruled:
    """The same for who is reading the catalogue already."""
    rules = wanted.rules or _NONE
    view = catalogue.view(recommender)
    table = catalogue.table
    known = AnswerRows(recommender, view)
    closed, left = known.closed(rules.filter)
    pins = _pins(table, rules, wanted.k)
    pinned = known.of(list(pins.values()))
    seen = wanted.barred
    if known.cold:
        seen = np.concatenate([seen, known.of(list(wanted.barred_items()))])
    barred = np.concatenate([seen, pinned])
    allowed = None if wanted.allow is None else known.of(wanted.allow)
    number, rows = wanted.k - len(pins), None
    reordered = rules.boosts or rules.at_most or rules.mmr_lambda is not None
    if allowed is None and not reordered:
        rows = _near(recommender, query, number, known, closed, left, barred)
    if rows is None:
        rows = _candidates(closed, left, barred, allowed)
    if rows is None:
        scores = known.all_scores(query)
        np.copyto(scores, -np.inf, where=closed)
        scores[barred] = -np.inf
    else:
        scores = known.scores_of(query, rows)
    for boost in rules.boosts or ():
        unfit, _ = known.closed(boost.filter, live=False)
        fit = ~(unfit if rows is None else unfit[rows])
        np.add(scores, np.float32(boost.add), out=scores, where=fit)
    if rules.at_most or rules.mmr_lambda is not None:
        choice = Choice(known, rules, table.labels)
        choice.begin(pinned[pinned != UNKNOWN])
        best, values = choice.choose(scores, rows, number)
    else:
        best = first_places(scores, number) if number else _NO_ROWS
        values = scores[best]
    chosen = best if rows is None else rows[best]
    items: list[ItemId] = [known.item(row) for row in chosen.tolist()]
    given: list[float | None] = list(values.tolist())
    places = _insert(known, query, pins, items, given)
    shortfall = None
    if wanted.explained and len(items) < wanted.k:
        found = Counted(wanted.k, len(items), left, closed, seen, allowed, known.cold)
        shortfall = why_fewer(found, rules, view, catalogue)
    offset = catalogue.end - 1 if catalogue.end else None
    told = None
    if wanted.attributes:
        told = [table.described(item, wanted.attributes) for item in items]
    return Ruled(items, given, offset, places, shortfall, told)


def _near(
    recommender: Recommender,
    query: Query,
    number: int,
    known: AnswerRows,
    closed: Bools,
    left: int,
    barred: ItemRows,
) -> ItemRows | None:
    """The rows to choose from by the version's index, and all cold ones; ``None`` where it is not
    to be asked, or where what may be shown lies elsewhere: a brand, say, that is unlike all that
    the user knows."""
    near = near_rows(recommender, query, number, left / len(closed))
    if near is None:
        return None
    rows = without(near[~closed[near]], barred, len(closed))
    if 2 * len(rows) < recommender.index.look:
        return None
    if known.cold:
        first = len(closed) - known.cold
        cold = first + np.flatnonzero(~closed[first:])
        rows = np.concatenate([rows, without(cold, barred, len(closed))])
    return rows


def _candidates(
    closed: Bools, left: int, barred: ItemRows, allowed: ItemRows | None
) -> ItemRows | None:
    """The rows to choose from; ``None`` where it costs less to score all."""
    if allowed is not None:
        return np.setdiff1d(allowed[~closed[allowed]], barred)
    if left * _FEW > len(closed):
        return None
    open_rows = np.flatnonzero(~closed)
    return open_rows[np.isin(open_rows, barred, invert=True)] if len(barred) else open_rows


def _pins(table: ItemTable, rules: Rules, k: int) -> dict[int, ItemId]:
    """The items that are pinned at places from 0, if they may be shown at all."""
    live = table.live.values
    return {
        pin.position - 1: pin.item_id
        for pin in sorted(rules.pins or (), key=lambda pin: pin.position)
        if pin.position <= k and live[table.slot(pin.item_id)]
    }


def _insert(
    known: AnswerRows,
    query: Query,
    pins: dict[int, ItemId],
    items: list[ItemId],
    scores: list[float | None],
) -> list[int]:
    """Put the pinned items into their places, or at the end of a shorter list; where they stand."""
    if not pins:
        return []
    own = known.scores_of_items(query, list(pins.values()))
    places = []
    for (position, item), score in zip(pins.items(), own, strict=True):
        at = min(position, len(items))
        items.insert(at, item)
        scores.insert(at, score)
        places.append(at)
    return places
