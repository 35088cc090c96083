"""From a user vector to items: the best of the catalogue, scores of given ones, nearest ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contracts.event import ItemId
from model.ranking import Catalogue
from model.recommender import Recommender
from model.vocabulary import UNKNOWN, Vocabulary

Rows = npt.NDArray[np.int64]
Ranked = tuple[list[ItemId], list[float]]
"""Items and their scores, best first."""

MICRO_BATCH = 4096
"""Candidates that are scored at once."""


def rows_of(items: Sequence[ItemId], vocabulary: Vocabulary) -> Rows:
    """The row of each item, in order; ``UNKNOWN`` where it has none."""
    return np.fromiter((vocabulary.row(item) for item in items), np.int64, len(items))


def best_items(
    recommender: Recommender, user: Tensor, k: int, barred: Rows, allowed: Rows | None = None
) -> Ranked:
    """The ``k`` best items outside ``barred`` and, where given, inside ``allowed``.

    ``user`` is a unit-length vector ``(dim,)``. Fewer than ``k`` where there are fewer. Scores are
    logits: they order the items of one answer and mean nothing across answers.
    """
    catalogue = recommender.catalogue()
    with torch.inference_mode():
        if allowed is None:
            scores = torch.addmv(catalogue.bias, catalogue.vectors, user)
            scores[UNKNOWN] = -torch.inf
            scores[torch.from_numpy(barred)] = -torch.inf
            rows = None
        else:
            rows = np.setdiff1d(allowed, np.append(barred, UNKNOWN))
            scores = _scores(catalogue, user, rows)
        values, places = torch.topk(scores, min(k, len(scores)))
        found = values > -torch.inf
        at = places[found].numpy()
    item = recommender.vocabulary.item
    chosen = at if rows is None else rows[at]
    return [item(row) for row in chosen.tolist()], values[found].tolist()


def score_items(
    recommender: Recommender, user: Tensor, items: Sequence[ItemId]
) -> list[float | None]:
    """The score of each item for the user vector ``(dim,)``; ``None`` for one without a row.

    All candidates share the one pass over the user's past that made the vector, and go through
    the rest in micro-batches (M-FALCON, arXiv 2402.17152 section 3.4; here the rest is a product
    with the item table, because candidates are no tokens of this network).
    """
    rows = rows_of(items, recommender.vocabulary)
    with torch.inference_mode():
        scores = _scores(recommender.catalogue(), user, rows).tolist()
    return [None if row == UNKNOWN else score for row, score in zip(rows, scores, strict=True)]


def similar_items(recommender: Recommender, item: ItemId, k: int) -> Ranked | None:
    """The ``k`` other items nearest by the cosine of their embeddings; ``None`` for an unknown one.

    Scores are cosines, from -1 to 1.
    """
    row = recommender.vocabulary.row(item)
    if row == UNKNOWN:
        return None
    catalogue = recommender.catalogue()
    with torch.inference_mode():
        own = catalogue.vectors[row]
        cosines = (catalogue.vectors @ own) / own.square().sum().clamp(min=1e-12)
        cosines[[UNKNOWN, row]] = -torch.inf
        # Rows without an item are barred by their bias.
        cosines[catalogue.bias == -torch.inf] = -torch.inf
        values, places = torch.topk(cosines, min(k, len(cosines)))
        found = values > -torch.inf
    name = recommender.vocabulary.item
    return [name(at) for at in places[found].tolist()], values[found].tolist()


def popular_items(
    vocabulary: Vocabulary, k: int, barred: Rows, allowed: Rows | None = None
) -> Ranked:
    """The ``k`` most sighted items outside ``barred``, inside ``allowed``; shares of sightings."""
    names = [vocabulary.item(row) for row in set(barred.tolist()) - {UNKNOWN}]
    if allowed is None:
        return vocabulary.popular(k, names)
    rows = np.setdiff1d(allowed, np.append(barred, UNKNOWN)).tolist()
    shares = [(vocabulary.share(item), item) for item in map(vocabulary.item, rows)]
    best = sorted(shares, key=lambda one: -one[0])[:k]
    return [item for _, item in best], [share for share, _ in best]


def popularity(vocabulary: Vocabulary, items: Sequence[ItemId]) -> list[float | None]:
    """Each item's share of all sightings; ``None`` for one without a row."""
    return [vocabulary.share(item) if item in vocabulary else None for item in items]


def _scores(catalogue: Catalogue, user: Tensor, rows: Rows) -> Tensor:
    parts = [
        torch.addmv(catalogue.bias[part], catalogue.vectors[part], user)
        for part in torch.split(torch.from_numpy(rows), MICRO_BATCH)
    ]
    return torch.cat(parts)
