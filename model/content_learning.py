"""Learning from contents: where new rows begin, the map, how often cold items are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from everfresh.contracts.event import ItemId
from everfresh.contracts.window import DecodedExample
from everfresh.model.cold_items import ColdItems
from everfresh.model.content.content_map import SAMPLE, UNSEEN, ContentMap
from everfresh.model.content.features import Features
from everfresh.model.network.batches import EncodedExample, derive_seed, encode_example
from everfresh.model.ranking import Scorer, contexts_of, target_rows
from everfresh.model.recommender import Recommender
from everfresh.model.trends.fitting import choose_targets, draw_rivals
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary

_TRUST = 5.0
"""Precision of the offset of the version before: that of as many targets of which half are cold."""
_STEPS = 40
_HALF = 0.5**0.5
_FURTHEST = 2.0

Find = Callable[[ItemId], Features | None]
"""What is known of an item's contents."""


def begin_rows(
    recommender: Recommender, rows: Sequence[int], contents: Mapping[ItemId, Features]
) -> None:
    """Let these new rows begin between chance and where their contents point, if that is known.

    By contents alone a new item would stand out of those like it too late (decision 50).
    """
    named = [(row, contents.get(recommender.vocabulary.item(row))) for row in rows]
    known = [(row, each) for row, each in named if each is not None]
    if not known or not recommender.content:
        return
    table = recommender.network.items.data
    starts = recommender.content.starts([each for _, each in known])
    at = [row for row, _ in known]
    table[at] = (table[at] + starts.to(table.device)) * _HALF


def learn_contents(recommender: Recommender, find: Find, seed: int, offset: float) -> None:
    """Make the map anew, of a sample of the rows whose contents are known.

    Nothing is drawn from torch's generator. ``offset`` is kept as it is.
    """
    vocabulary = recommender.vocabulary
    rows: list[int] = []
    features: list[Features] = []
    for row in _draw(recommender, seed).tolist():
        each = find(vocabulary.item(row))
        if each is not None:
            rows.append(row)
            features.append(each)
    at = torch.tensor(rows, dtype=torch.int64)
    items = recommender.network.items.detach()[at.to(recommender.network.device)].cpu()
    counts = torch.tensor([_count(vocabulary, row) for row in rows], dtype=torch.float64)
    recommender.content = ContentMap.fitted(features, items, counts, offset)


def learnt_offset(
    recommender: Recommender,
    examples: Sequence[DecodedExample],
    known: Mapping[ItemId, Features],
    seed: int,
) -> float:
    """How cold items of the ``known`` stand beside others, after a window that nobody has learnt:
    so that of its targets as many are cold as scores say, held by what windows before said.

    Costs no more for a large window than for one of 2,048 targets.
    """
    if not recommender.content:
        return UNSEEN
    before = recommender.content.offset
    cold = ColdItems.of(recommender, known)
    if not cold.places:
        return before
    encoded: list[EncodedExample] = []
    from_cold: list[bool] = []
    for at, number in choose_targets([len(example.targets) for example in examples], seed):
        whole = examples[at]
        of_whole = encode_example(whole, recommender.vocabulary)
        encoded.append(of_whole.until(of_whole.first_target + number))
        taught = list(zip(whole.targets, whole.marks, strict=True))[:number]
        from_cold += [target.item in cold.places and not refused for target, refused in taught]
    rows, contexts, chosen = target_rows(encoded), contexts_of(encoded), np.array(from_cold)
    used = np.flatnonzero((rows != UNKNOWN) | chosen)
    if not len(used):
        return before
    table, length = recommender.trend_table(), recommender.settings.max_length
    scorer = Scorer(recommender.network, recommender.catalogue(), table)
    with torch.inference_mode():
        users = scorer.users(encoded, length)
        items = recommender.vocabulary.item_rows()
        followers = table.links(contexts.last)[0]
        rivals = draw_rivals(table, items, rows, followers, derive_seed(seed, 1))
        warm = scorer.scores_of(rivals.rows, users, contexts).double().cpu()
        warm += torch.from_numpy(rivals.log_each)
        weights = table.weights_of(contexts)[:, 0]
        colds = torch.from_numpy(cold.scores(users.cpu().numpy(), weights)).double()
    odds = (torch.logsumexp(colds, 1) - torch.logsumexp(warm, 1)).numpy()[used] - before
    return _solved(odds, chosen[used], before)


def _solved(odds: np.ndarray, chosen: np.ndarray, before: float) -> float:
    """Newton's method on a concave likelihood of one number."""
    offset = before
    for _ in range(_STEPS):
        shares = 1.0 / (1.0 + np.exp(-np.clip(odds + offset, -50.0, 50.0)))
        slope = chosen.sum() - shares.sum() - _TRUST * (offset - before)
        bend = (shares * (1.0 - shares)).sum() + _TRUST
        step = float(np.clip(slope / bend, -_FURTHEST, _FURTHEST))
        offset += step
        if abs(step) < 1e-6:
            break
    return offset


def _draw(recommender: Recommender, seed: int) -> ItemRows:
    """Rows of items, at most :data:`SAMPLE` in the mean, evenly; all where there are fewer."""
    vocabulary = recommender.vocabulary
    rows = np.arange(1, vocabulary.rows)
    if len(vocabulary) > SAMPLE:
        # Some of these hold no item; none is drawn twice.
        number = min(len(rows), SAMPLE * len(rows) // len(vocabulary))
        drawn = np.random.Generator(np.random.PCG64(seed)).choice(
            len(rows), number, replace=False, shuffle=False
        )
        rows = np.sort(rows[drawn])
    held: ItemRows = rows[vocabulary.holds_item(rows)]
    return held


def _count(vocabulary: Vocabulary, row: int) -> int:
    seen = vocabulary.sightings(vocabulary.item(row))
    return 0 if seen is None else seen.count
