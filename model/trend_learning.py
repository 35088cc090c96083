"""Learning trends from a window: how much they weigh first, then what it has counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from everfresh.contracts.window import DecodedExample
from everfresh.model.network.batches import EncodedExample, derive_seed, encode_example
from everfresh.model.ranking import (
    Scorer,
    contexts_of,
    log_order_of,
    sightings_of,
    target_rows,
)
from everfresh.model.recommender import Recommender
from everfresh.model.trends.contexts import Contexts
from everfresh.model.trends.counts import Ints
from everfresh.model.trends.evidence import Evidence
from everfresh.model.trends.fitting import choose_targets, draw_rivals, fit_weights
from everfresh.model.trends.tail import BLOCK, Tail, counted_by_block
from everfresh.model.vocabulary.vocabulary import UNKNOWN


def weigh_trends(
    recommender: Recommender, examples: Sequence[DecodedExample], seed: int, *, tail: bool
) -> None:
    """Learn the weights of the pool from targets that neither network nor counts have learnt.

    Costs as much for a large window as for one of 2,048 targets; with a ``tail``,
    its events are counted besides. Nothing is drawn from torch's generator.
    """
    encoded, chosen = _some(recommender, examples, seed)
    rows, contexts = target_rows(encoded), contexts_of(encoded)
    known = np.flatnonzero(rows != UNKNOWN)
    if not len(known):
        return
    table, length = recommender.trend_table(), recommender.settings.max_length
    users = Scorer(recommender.network, recommender.catalogue(), None).users(encoded, length)[known]
    contexts, rows, chosen = contexts.part(known), rows[known], chosen[known]
    moments = _Moments(recommender, examples, contexts, chosen) if tail else None
    followers = table.links(contexts.last)[0] if moments is None else moments.followers()
    items = recommender.vocabulary.item_rows()
    rivals = draw_rivals(table, items, rows, followers, derive_seed(seed, 1))
    with torch.inference_mode():
        part = recommender.catalogue().of(torch.from_numpy(rivals.rows).to(users.device))
        logits = part.scores(users).cpu().numpy()
    if moments is None:
        evidence = Evidence.joined([Evidence.of(table, rivals.rows, contexts)])
    else:
        evidence = moments.evidence(rivals.rows)
        at = moments.targets
        logits, rows = logits[at], rows[at]
    fitted = fit_weights(table.weights, logits, rivals, evidence, rows)
    recommender.weigh_trends(fitted)


class _Moments:
    """Some targets of a window, each with the tail of the blocks before its own."""

    def __init__(
        self,
        recommender: Recommender,
        examples: Sequence[DecodedExample],
        contexts: Contexts,
        chosen: Ints,
    ) -> None:
        """``chosen`` are the targets' numbers in the window, ``contexts`` what is before them."""
        encoded = [encode_example(example, recommender.vocabulary) for example in examples]
        self._events = sightings_of(encoded)
        self._order = log_order_of(examples)
        self._tail = recommender.tail
        self._contexts = contexts
        place = np.empty(len(self._order), np.int64)
        place[self._order] = np.arange(len(self._order))
        block = place[chosen] // BLOCK
        self.targets = np.argsort(block, kind="stable")
        """As :meth:`evidence` has them."""
        ends = np.searchsorted(block[self.targets], np.arange(-(-len(place) // BLOCK)), "right")
        self._parts = np.split(self.targets, ends[:-1])

    def followers(self) -> Ints:
        """Rows that have followed the last of any."""
        last = self._contexts.last
        found = [tail.links(last[part])[0].ravel() for part, tail in self._tails()]
        return np.unique(np.concatenate(found))

    def evidence(self, rows: Ints) -> Evidence:
        """What the trends say of these rivals, target by target of ``targets``."""
        return Evidence.joined(
            [Evidence.of(tail, rows, self._contexts.part(part)) for part, tail in self._tails()]
        )

    def _tails(self) -> Iterator[tuple[Ints, Tail]]:
        """The targets of each block that has some, and the tail of the blocks before it."""
        counted = counted_by_block(self._tail(), self._order, self._events)
        for part, (_, tail) in zip(self._parts, counted, strict=True):
            if len(part):
                yield part, tail


def learn_trends(recommender: Recommender, examples: Sequence[DecodedExample]) -> Ints:
    """Count all targets, in the order in which the log has them; the rows that this changes."""
    encoded = [encode_example(example, recommender.vocabulary) for example in examples]
    events = sightings_of(encoded).part(log_order_of(examples))
    recommender.learn_trends(events)
    return np.union1d(events.before, events.rows)


def _some(
    recommender: Recommender, examples: Sequence[DecodedExample], seed: int
) -> tuple[list[EncodedExample], Ints]:
    """Examples of the chosen targets, the last one cut, and the numbers of these in the window."""
    sizes = [len(example.targets) for example in examples]
    begins = np.cumsum([0, *sizes])
    chosen: list[EncodedExample] = []
    numbers = [np.zeros(0, np.int64)]
    for at, taken in choose_targets(sizes, seed):
        encoded = encode_example(examples[at], recommender.vocabulary)
        chosen.append(encoded.until(encoded.first_target + taken))
        numbers.append(begins[at] + np.arange(taken))
    return chosen, np.concatenate(numbers)
