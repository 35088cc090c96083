"""The leave-one-out protocol on MovieLens 1M, as meta-recsys/generative-recommenders runs it.

A user's ratings in order of time; the last one is the test, everything before it is for training.
Each epoch sees the last ``max_length`` training events of every user once, in new batches. A test
ranks all items but those among the ``max_length - 1`` events that the network sees: their code
filters the same ones (``filter_invalid_ids``). Their catalogue also holds 177 films that nobody
has rated; a ratings file does not name them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from everfresh.adapters.files.datasets import event_check, read_ml_1m
from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import EventSettings, ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import scores
from everfresh.model.network.batches import (
    Batch,
    EncodedExample,
    cut_into_chunks,
    encode_example,
    group_by_tokens,
    pack_batch,
)
from everfresh.model.ranking import Scorer, rank_examples
from everfresh.model.recommender import Recommender

KS = (10, 50, 200)


Order = Callable[[Sequence[int]], Sequence[int]]
"""Places of seconds in order of time."""


def read_users(
    path: Path, limit: int | None, order: Order | None = None
) -> list[list[Interaction]]:
    """Each user's events in order of time; of the first ``limit`` users in the file's order.

    Ties are in the file's order, or in that of ``order``.
    """
    events = list(read_ml_1m(path, event_check(EventSettings())))
    if order:
        seconds = [int(line.rpartition("::")[2]) for line in path.read_text().splitlines()]
        # As the reader has sorted them: equal times stay in the file's order.
        by_row = dict(
            zip(sorted(range(len(seconds)), key=seconds.__getitem__), events, strict=True)
        )
        events = [by_row[row] for row in order(seconds)]
    users: dict[UserId, list[Interaction]] = {}
    for event in events:
        seen = Interaction(event.item_id, event.type, event.time, event.value)
        users.setdefault(event.user_id, []).append(seen)
    return [users[user] for user in sorted(users, key=str)[:limit]]


class LeaveOneOut:
    """Training batches and the test, for a recommender that has admitted the training events."""

    def __init__(self, users: Sequence[list[Interaction]], settings: ModelSettings) -> None:
        self.settings = settings
        self.training = [_example(number, [], events[:-1]) for number, events in enumerate(users)]
        self._tests = [
            _example(number, events[-settings.max_length : -1], events[-1:])
            for number, events in enumerate(users)
        ]
        self._encoded: list[EncodedExample] = []

    def encode(self, recommender: Recommender) -> None:
        """Admit the training events and turn everything into codes, once."""
        recommender.admit(self.training)
        longest, vocabulary = self.settings.max_length, recommender.vocabulary
        encoded = [encode_example(example, vocabulary) for example in self.training]
        self._encoded = [EncodedExample(example.codes[:, -longest:], 0) for example in encoded]
        self._codes = [encode_example(example, vocabulary) for example in self._tests]

    def batches(self, batch_tokens: int, seed: int) -> list[Batch]:
        """The batches of one epoch; their order and grouping follow the seed."""
        order = np.random.Generator(np.random.PCG64(seed)).permutation(len(self._encoded))
        return list(self._packed([self._encoded[at] for at in order], batch_tokens))

    def _packed(self, examples: Sequence[EncodedExample], batch_tokens: int) -> Iterator[Batch]:
        chunks = [
            chunk
            for example in examples
            for chunk in cut_into_chunks(example, self.settings.max_length)
        ]
        for group in group_by_tokens(chunks, batch_tokens):
            yield pack_batch(group)

    def test(self, recommender: Recommender) -> dict[str, float]:
        """HR and NDCG of the held-out events over the whole catalogue."""
        scorer = Scorer(recommender.network, recommender.catalogue(), None)
        ranks = rank_examples(scorer, self._codes, self.settings.max_length, exclude_seen=True)
        return {name: value for name, value in scores(ranks, KS).items() if name[0] != "m"}


def _example(number: int, context: list[Interaction], targets: list[Interaction]) -> DecodedExample:
    return DecodedExample(number, context, targets, [], [])
