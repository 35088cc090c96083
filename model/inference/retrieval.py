"""From a user vector to items: the best of the catalogue, scores of given ones, nearest ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from everfresh.contracts.event import ItemId
from everfresh.model.catalogue import Catalogue
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary

Scores = npt.NDArray[np.float32]
Ranked = tuple[list[ItemId], list[float]]
"""Items and their scores, best first."""

MICRO_BATCH = 4096
"""Candidates that are scored at once."""

_BLOCK = 64


def rows_of(items: Sequence[ItemId], vocabulary: Vocabulary) -> ItemRows:
    """The row of each item, in order; ``UNKNOWN`` where it has none."""
    return np.fromiter((vocabulary.row(item) for item in items), np.int64, len(items))


def best_items(
    recommender: Recommender,
    user: Tensor,
    k: int,
    barred: ItemRows,
    allowed: ItemRows | None = None,
) -> Ranked:
    """The ``k`` best items outside ``barred`` and, where given, inside ``allowed``.

    ``user`` is a unit-length vector ``(dim,)``. Fewer than ``k`` where there are fewer. Scores are
    logits: they order the items of one answer and mean nothing across answers.
    """
    catalogue = recommender.catalogue()
    if allowed is None:
        scores = _all_scores(catalogue, user)
        scores[UNKNOWN] = -np.inf
        scores[barred] = -np.inf
        rows = best = first_places(scores, k)
    else:
        rows = np.setdiff1d(allowed, np.append(barred, UNKNOWN))
        scores = _scores_of(catalogue, user, rows)
        best = first_places(scores, k)
        rows = rows[best]
    item = recommender.vocabulary.item
    return [item(row) for row in rows.tolist()], scores[best].tolist()


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
    # Without such a threshold all that is not barred is sorted.
    at = (scores >= least if least > -np.inf else scores > least).nonzero()[0]
    return at[(-scores[at]).argsort(kind="stable")[:k]]


def score_items(
    recommender: Recommender, user: Tensor, items: Sequence[ItemId]
) -> list[float | None]:
    """The score of each item for the user vector ``(dim,)``; ``None`` for one without a row.

    All candidates share the one pass over the user's history that made the vector, and go through
    the rest in micro-batches (M-FALCON, arXiv 2402.17152 section 3.4; here the rest is a product
    with the item table, because candidates are no tokens of this network).
    """
    rows = rows_of(items, recommender.vocabulary)
    scores = _scores_of(recommender.catalogue(), user, rows).tolist()
    return [None if row == UNKNOWN else score for row, score in zip(rows, scores, strict=True)]


def similar_items(recommender: Recommender, item: ItemId, k: int) -> Ranked | None:
    """The ``k`` other items nearest by the cosine of their embeddings; ``None`` for an unknown one.

    Scores are cosines, from -1 to 1.
    """
    row = recommender.vocabulary.row(item)
    if row == UNKNOWN:
        return None
    catalogue = recommender.catalogue()
    vectors, bias = catalogue.vectors.numpy(), catalogue.bias.numpy()
    factors = _factors(catalogue)
    own = vectors[row]
    cosines = vectors @ own
    cosines *= factors
    cosines /= max(float(own @ own) * float(factors[row]), 1e-12)
    cosines[[UNKNOWN, row]] = -np.inf
    # ItemRows without an item are barred by their bias.
    cosines[bias == -np.inf] = -np.inf
    best = first_places(cosines, k)
    name = recommender.vocabulary.item
    return [name(at) for at in best.tolist()], cosines[best].tolist()


def popular_items(
    vocabulary: Vocabulary, k: int, barred: ItemRows, allowed: ItemRows | None = None
) -> Ranked:
    """The ``k`` most sighted items outside ``barred``, inside ``allowed``; shares of sightings."""
    names = [vocabulary.item(row) for row in set(barred.tolist()) - {UNKNOWN}]
    if allowed is None:
        return vocabulary.popular(k, names)
    rows = np.setdiff1d(allowed, np.append(barred, UNKNOWN)).tolist()
    shares = [(vocabulary.share(item), item) for item in map(vocabulary.item, rows)]
    best = sorted(shares, key=lambda pair: -pair[0])[:k]
    return [item for _, item in best], [share for share, _ in best]


def popularity(vocabulary: Vocabulary, items: Sequence[ItemId]) -> list[float | None]:
    """Each item's share of all sightings; ``None`` for one without a row."""
    return [vocabulary.share(item) if item in vocabulary else None for item in items]


def _all_scores(catalogue: Catalogue, user: Tensor) -> Scores:
    # numpy's product and selection cost half of torch's for one user.
    scores: Scores = catalogue.vectors.numpy() @ user.numpy()
    scores *= _factors(catalogue)
    scores += catalogue.bias.numpy()
    return scores


def _scores_of(catalogue: Catalogue, user: Tensor, rows: ItemRows) -> Scores:
    vectors, bias, query = catalogue.vectors.numpy(), catalogue.bias.numpy(), user.numpy()
    factors = _factors(catalogue)
    parts = [rows[begin : begin + MICRO_BATCH] for begin in range(0, len(rows), MICRO_BATCH)]
    scores = [(vectors[part] @ query) * factors[part] + bias[part] for part in parts]
    return np.concatenate([bias[:0], *scores])


def _factors(catalogue: Catalogue) -> Scores:
    assert catalogue.factors is not None, "a recommender's own catalogue has them"
    factors: Scores = catalogue.factors.numpy()
    return factors
