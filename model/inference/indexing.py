"""The index of a version that is about to be written: lists renewed, and what they find measured.

What changed is put into the list of its nearest centroid. Centroids stay until there are twice as
many items, or until the index finds too little and has stayed for long. What it finds is measured
for every version, for users of the window that was just learnt: the share of the ten best of all
items that are among the rows looked at. Means over versions decide, since a window says little.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from everfresh.contracts.window import DecodedExample
from everfresh.model.index.fitting import find_centroids, nearest_centroids
from everfresh.model.index.inverted_lists import LOOKS
from everfresh.model.inference.retrieval import INDEXED_K, rows_near
from everfresh.model.network.batches import derive_seed, encode_example
from everfresh.model.ranking import Scorer, contexts_of
from everfresh.model.recommender import Recommender
from everfresh.model.touched_rows import Ints
from everfresh.model.vocabulary.vocabulary import UNKNOWN

_ASKED = 16
"""Users for whom an index is measured in each version: each costs a pass over all rows."""
_NEW = 0.2
"""What the newest version counts in the means."""
_SHRUNK = 0.8
"""An index goes where less than this share of the items is left that it begins from."""
_PATIENCE = 50
"""Versions for which centroids stay at least."""

Shares = npt.NDArray[np.float32]


def renew_index(
    recommender: Recommender,
    touched: Ints | None,
    examples: Sequence[DecodedExample],
    begins_at: int,
    least_recall: float,
    seed: int,
) -> None:
    """Bring a trainer's index to its newest weights; none below ``begins_at`` items, or where that
    is 0.

    ``touched`` are the rows that may differ from the version before, ``None`` for any.
    """
    index, items = recommender.index, len(recommender.vocabulary)
    if not begins_at or items < begins_at * (_SHRUNK if len(index) else 1.0):
        index.clear()
        return
    if not len(index) or _is_due(recommender):
        _fit(recommender, seed)
    else:
        rows = np.arange(recommender.vocabulary.rows) if touched is None else touched
        table = recommender.network.items.detach()
        index.put(rows, nearest_centroids(table, rows, torch.from_numpy(index.centroids)))
    found = measure_index(recommender, examples, derive_seed(seed, _ASKED))
    if found is not None:
        before = index.recalls
        means = np.where(before < 0, found, before + _NEW * (found - before))
        means = means.astype(np.float32)
        enough = [
            look for look, mean in zip(LOOKS, means.tolist(), strict=True) if mean >= least_recall
        ]
        index.judge(means, enough[0] if enough else 0)


def measure_index(
    recommender: Recommender, examples: Sequence[DecodedExample], seed: int
) -> Shares | None:
    """What share of the ten best is among the rows looked at, for each of ``LOOKS``; ``None``
    where no example has an event of an item with a row before its last target.

    Asked for some users, as before their last events; what they knew is no answer.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    order = rng.permutation(len(examples))[: 4 * _ASKED]
    encoded = [encode_example(examples[at], recommender.vocabulary) for at in order.tolist()]
    # The user's last event but one must be known, or nobody is near.
    asked = [each for each in encoded if each.codes.shape[1] > 1 and each.codes[0, -2] != UNKNOWN]
    asked = asked[:_ASKED]
    if not asked:
        return None
    scorer = Scorer(recommender.network, recommender.catalogue(), recommender.trend_table())
    with torch.inference_mode():
        users, contexts = scorer.users(asked, recommender.settings.max_length), contexts_of(asked)
        last = np.cumsum([each.codes.shape[1] - each.first_target for each in asked]) - 1
        found = np.zeros(len(LOOKS), np.float32)
        for at, each in zip(last.tolist(), asked, strict=True):
            part = slice(at, at + 1)
            scores = scorer.scores(users[part], contexts.part(part))[0]
            scores[torch.from_numpy(each.codes[0, :-1]).to(scores.device)] = -torch.inf
            top = scores.topk(min(INDEXED_K, len(scores)))
            best = top.indices[torch.isfinite(top.values)].cpu().numpy()
            user, before = users[at].cpu().numpy(), int(each.codes[0, -2])
            for look, rows in enumerate(LOOKS):
                near = rows_near(recommender, user, before, rows, recommender.trend_table())
                found[look] += np.isin(best, near).mean() if len(best) else 1.0
    return found / np.float32(len(asked))


def _is_due(recommender: Recommender) -> bool:
    index = recommender.index
    items, versions = index.fitted
    grown = len(recommender.vocabulary) >= 2 * items
    return grown or (not index.look and versions >= _PATIENCE)


def _fit(recommender: Recommender, seed: int) -> None:
    table = recommender.network.items.detach()
    rows = recommender.vocabulary.item_rows()
    centroids = find_centroids(table, rows, seed)
    of = nearest_centroids(table, None, centroids)
    recommender.index.fit(centroids, of, len(rows))
