"""From a user vector to items: the best of the catalogue, scores of given ones, nearest ones."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from everfresh.contracts.event import ItemId
from everfresh.model.inference.products import products
from everfresh.model.recommender import Recommender
from everfresh.model.trends.contexts import LATELY
from everfresh.model.trends.table import TrendTable, among
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary

Scores = npt.NDArray[np.float32]
UserVector = npt.NDArray[np.float32]
"""Of unit length, ``(dim,)``; no tensor: to touch torch costs a request tens of microseconds."""
Ranked = tuple[list[ItemId], list[float]]
"""Items and their scores, best first."""

INDEXED_K = 10
"""Most items for which an index is asked: what it finds is measured for so many."""
MICRO_BATCH = 4096
"""Candidates that are scored at once."""

_BLOCK = 64
_NO_ROWS: ItemRows = np.zeros(0, dtype=np.int64)


def rows_of(items: Sequence[ItemId], vocabulary: Vocabulary) -> ItemRows:
    """The row of each item, in order; ``UNKNOWN`` where it has none."""
    return np.array(vocabulary.rows_of(items), np.int64)


class Query(msgspec.Struct, frozen=True):
    """For whom items are scored: a unit-length user vector ``(dim,)``, and the rows of all events
    that are known of the user, in order, the last of them ``at`` UTC seconds, 0 where that is not
    known."""

    user: UserVector
    rows: ItemRows
    at: int = 0
    trends: TrendTable | None = None
    """Those that count instead of the version's own."""
    product: Scores | None = None
    """Of the user with each row of the item table, where it is at hand; read only."""

    @property
    def last(self) -> int:
        """The row of the user's last event, 0 where there is none."""
        return int(self.rows[-1]) if len(self.rows) else UNKNOWN


def stranger(recommender: Recommender, trends: TrendTable | None = None) -> Query:
    """A user of whom nothing is known that the version knows: what is hot now is best."""
    return Query(recommender.start().numpy(), _NO_ROWS, 0, trends)


def best_items(
    recommender: Recommender,
    query: Query,
    k: int,
    barred: ItemRows,
    allowed: ItemRows | None = None,
) -> Ranked:
    """The ``k`` best items outside ``barred`` and, where given, inside ``allowed``.

    Fewer than ``k`` where there are fewer. Scores are logits: they order the items of one answer
    and mean nothing across answers. Where the version has an index, and at most
    :data:`INDEXED_K` are wanted of all, some of the best may be missing (``near_rows``).
    """
    near = None if allowed is not None else near_rows(recommender, query, k)
    if near is not None:
        near = without(near, barred, recommender.vocabulary.rows)
    # Where most of what is near is barred, the best lie elsewhere.
    if near is not None and 2 * len(near) >= recommender.index.look:
        rows = near
        scores = scores_of(recommender, query, rows)
        best = first_places(scores, k)
        rows = rows[best]
    elif allowed is None:
        scores = all_scores(recommender, query)
        scores[UNKNOWN] = -np.inf
        scores[barred] = -np.inf
        rows = best = first_places(scores, k)
    else:
        rows = np.setdiff1d(allowed, np.append(barred, UNKNOWN))
        scores = scores_of(recommender, query, rows)
        best = first_places(scores, k)
        rows = rows[best]
    item = recommender.vocabulary.item
    return [item(row) for row in rows.tolist()], scores[best].tolist()


def ranks_all(recommender: Recommender, k: int) -> bool:
    """Whether the ``k`` best are looked for among all rows, whoever asks."""
    return not recommender.index.look or k > INDEXED_K


def near_rows(
    recommender: Recommender, query: Query, k: int, share: float = 1.0
) -> ItemRows | None:
    """The distinct rows among which the ``k`` best are looked for; ``None``: among all.

    They are those of the lists that are nearest to the user, and what has followed the last item,
    whose links count however far it lies. Where a filter leaves a ``share`` of all rows alone, so
    many times more are looked at. A user of whom nothing is known is near nothing.
    """
    index = recommender.index
    if ranks_all(recommender, k) or not len(query.rows):
        return None
    look = int(index.look / max(share, 1e-6))
    if look > len(index) // 2:
        return None
    table = _trends(recommender, query)
    near = rows_near(recommender, query.user, query.last, look, table)
    # What the user has had lately may count however far it lies.
    lately = np.unique(query.rows[-LATELY:])
    return np.concatenate([near[~among(near, lately)], lately[lately != UNKNOWN]])


def rows_near(
    recommender: Recommender,
    user: UserVector,
    last: int,
    look: int,
    trends: TrendTable,
) -> ItemRows:
    """At least ``look`` distinct rows for a user vector ``(dim,)``, and what has followed the row
    ``last`` by these ``trends``."""
    rows = recommender.index.near(user, look)
    if not last:
        return rows
    followers, _ = trends.followers.after_one(last, trends.clock)
    followers = followers[followers != UNKNOWN]
    # Few: numpy compares with each of them in turn.
    return np.concatenate([rows[np.isin(rows, followers, invert=True)], followers])


def without(rows: ItemRows, barred: ItemRows, number: int) -> ItemRows:
    """``rows`` that are not ``barred``, of a table that has this ``number``."""
    marks = np.zeros(number, np.bool_)
    marks[barred] = True
    return rows[~marks[rows]]


def first_places(scores: Scores, k: int) -> ItemRows:
    """Where the ``k`` greatest scores stand, greatest first, minus infinity never among them.

    Exact. Long arrays are looked at by blocks: the k-th greatest of the blocks' greatest scores is
    no greater than the k-th greatest of all, and few scores reach it.
    """
    blocks = len(scores) // _BLOCK
    least = -np.inf
    if blocks > 4 * k:
        # A block is every so-manieth score, so that the maxima are taken of whole stretches.
        tops = np.maximum.reduce(scores[: blocks * _BLOCK].reshape(_BLOCK, blocks), axis=0)
        tops.partition(blocks - k)
        least = tops[blocks - k]
    elif 0 < 4 * k < len(scores):
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
    # Without such a threshold all that is not barred is sorted.
    at = (scores >= least if least > -np.inf else scores > least).nonzero()[0]
    return at[(-scores[at]).argsort(kind="stable")[:k]]


def score_items(
    recommender: Recommender, query: Query, items: Sequence[ItemId]
) -> list[float | None]:
    """The score of each item for the user; ``None`` for one without a row.

    All candidates share the one pass over the user's history that made the vector, and go through
    the rest in micro-batches (M-FALCON, arXiv 2402.17152 section 3.4; here the rest is a product
    with the item table, because candidates are no tokens of this network).
    """
    rows, place = np.unique(rows_of(items, recommender.vocabulary), return_inverse=True)
    scores = scores_of(recommender, query, rows)[place].tolist()
    return [
        None if row == UNKNOWN else score for row, score in zip(rows[place], scores, strict=True)
    ]


def similar_items(
    recommender: Recommender, item: ItemId, k: int, closed: npt.NDArray[np.bool_] | None = None
) -> Ranked | None:
    """The ``k`` other items nearest by the cosine of their embeddings; ``None`` for an unknown one.

    Scores are cosines, from -1 to 1. Rows that are ``closed`` are left out.
    """
    row = recommender.vocabulary.row(item)
    if row == UNKNOWN:
        return None
    vectors, bias, factors = recommender.catalogue().arrays
    own = vectors[row]
    cosines = vectors @ own
    cosines *= factors
    cosines /= max(float(own @ own) * float(factors[row]), 1e-12)
    cosines[[UNKNOWN, row]] = -np.inf
    # ItemRows without an item are barred by their bias.
    cosines[bias == -np.inf] = -np.inf
    if closed is not None:
        cosines[closed] = -np.inf
    best = first_places(cosines, k)
    name = recommender.vocabulary.item
    return [name(at) for at in best.tolist()], cosines[best].tolist()


def _trends(recommender: Recommender, query: Query) -> TrendTable:
    return recommender.trend_table() if query.trends is None else query.trends


def all_scores(recommender: Recommender, query: Query) -> Scores:
    """The score of each row, as a new array; minus infinity for no row, so bar ``UNKNOWN``."""
    # numpy's product and selection cost half of torch's for one user.
    vectors, bias, factors = recommender.catalogue().arrays
    product = query.product
    if product is None:
        (product,) = products(vectors, [query.user])
    scores: Scores = product * factors
    scores += bias
    _trends(recommender, query).pool_one(scores, query.rows, query.at)
    return scores


def scores_of(recommender: Recommender, query: Query, rows: ItemRows) -> Scores:
    """The scores of distinct ``rows``, in order."""
    vectors, bias, factors = recommender.catalogue().arrays
    parts = [rows[begin : begin + MICRO_BATCH] for begin in range(0, len(rows), MICRO_BATCH)]
    scores = [(vectors[part] @ query.user) * factors[part] + bias[part] for part in parts]
    of_rows = np.concatenate([bias[:0], *scores])
    trends = _trends(recommender, query)
    trends.pool_some_for_one(of_rows, rows, query.rows, query.at)
    return of_rows
