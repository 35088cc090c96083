"""Learning trends from a window: how much they weigh first, then what it has counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from everfresh.contracts.window import DecodedExample
from everfresh.model.network.batches import EncodedExample, derive_seed, encode_example
from everfresh.model.ranking import Scorer, contexts_of, target_rows
from everfresh.model.recommender import Recommender
from everfresh.model.trends.counts import Ints
from everfresh.model.trends.fitting import MOST_TARGETS, draw_rivals, fit_weights
from everfresh.model.trends.table import Contexts
from everfresh.model.vocabulary.vocabulary import UNKNOWN


def weigh_trends(recommender: Recommender, examples: Sequence[DecodedExample], seed: int) -> None:
    """Learn the weights of the pool from targets that neither network nor counts have learnt.

    Costs as much for a large window as for one of :data:`MOST_TARGETS` targets. Nothing is drawn
    from torch's generator.
    """
    encoded = _some(recommender, examples, seed)
    rows, contexts = target_rows(encoded), contexts_of(encoded)
    known = np.flatnonzero(rows != UNKNOWN)
    if not len(known):
        return
    table, length = recommender.trend_table(), recommender.settings.max_length
    users = Scorer(recommender.network, recommender.catalogue(), None).users(encoded, length)[known]
    contexts, rows = Contexts(contexts.last[known], contexts.known[known]), rows[known]
    needed = np.union1d(rows, table.links(contexts.last)[0])
    items = recommender.vocabulary.item_rows()
    rivals = draw_rivals(table, items, needed[needed != UNKNOWN], derive_seed(seed, 1))
    with torch.inference_mode():
        part = recommender.catalogue().of(torch.from_numpy(rivals.rows).to(users.device))
        logits = part.scores(users).cpu().numpy()
    recommender.weigh_trends(fit_weights(table, logits, rivals, contexts, rows))


def learn_trends(recommender: Recommender, examples: Sequence[DecodedExample]) -> Ints:
    """Count all targets, in the order in which the log has them; the rows that this changes."""
    encoded = [encode_example(example, recommender.vocabulary) for example in examples]
    order = np.argsort(_times(examples), kind="stable")
    before, rows = contexts_of(encoded).last[order], target_rows(encoded)[order]
    recommender.learn_trends(before, rows)
    return np.union1d(before, rows)


def _some(
    recommender: Recommender, examples: Sequence[DecodedExample], seed: int
) -> list[EncodedExample]:
    """Examples by chance, as many as have :data:`MOST_TARGETS` targets; the last is cut."""
    chosen: list[EncodedExample] = []
    left = MOST_TARGETS
    for at in np.random.Generator(np.random.PCG64(seed)).permutation(len(examples)):
        if left <= 0:
            break
        encoded = encode_example(examples[at], recommender.vocabulary)
        stop = encoded.first_target + min(left, len(examples[at].targets))
        chosen.append(encoded.until(stop))
        left -= stop - encoded.first_target
    return chosen


def _times(examples: Sequence[DecodedExample]) -> Ints:
    """When each target was appended to the log; its own time where no log has had it."""
    times: list[int] = []
    for example in examples:
        own = [target.time for target in example.targets]
        times += example.appended if len(example.appended) == len(own) else own
    return np.asarray(times, dtype=np.int64)
