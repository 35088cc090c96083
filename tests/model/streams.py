"""Small made-up streams of examples for the model's tests."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from everfresh.contracts.event import ItemId
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.network.batches import make_batches
from everfresh.model.optimizer import build_optimizer, step
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

SMALL = ModelSettings(dim=8, blocks=2, heads=2, max_length=12, dropout=0.0, negatives=1000)


def interactions(items: Sequence[ItemId], start: int = 1_000) -> list[Interaction]:
    """One event per item, some seconds apart, with ratings on every other one."""
    return [
        Interaction(
            item,
            "rating" if place % 2 else "view",
            (start + place * place * 7) * 1000,
            place % 5 + 1.0 if place % 2 else None,
        )
        for place, item in enumerate(items)
    ]


def example(user: int, context: Sequence[ItemId], targets: Sequence[ItemId]) -> DecodedExample:
    """An example whose context and targets are these items."""
    events = interactions([*context, *targets], 1_000 + user)
    offsets = list(range(len(targets)))
    return DecodedExample(
        user, events[: len(context)], events[len(context) :], offsets, list(offsets)
    )


def stream(seed: int, users: int = 6, items: int = 30, longest: int = 40) -> list[DecodedExample]:
    """Random examples, some without context, some longer than ``SMALL.max_length``."""
    rng = random.Random(seed)
    return [
        example(
            user,
            [rng.randint(1, items) for _ in range(rng.randrange(longest))],
            [rng.randint(1, items) for _ in range(rng.randint(1, longest))],
        )
        for user in range(users)
    ]


def recommender(
    examples: Sequence[DecodedExample], settings: ModelSettings = SMALL, seed: int = 3
) -> Recommender:
    """An untrained recommender that has admitted these examples."""
    made = Recommender(settings, Vocabulary(settings.admit_after), seed)
    made.admit(examples)
    return made


def trained(
    examples: Sequence[DecodedExample], settings: ModelSettings = SMALL, steps: int = 3
) -> Recommender:
    """A recommender after a few passes over these examples."""
    model = recommender(examples, settings)
    optimizer = build_optimizer(model, 1e-2)
    torch.manual_seed(1)
    for number in range(steps):
        for batch in make_batches(examples, model.vocabulary, settings, 60, number):
            step(model, optimizer, batch)
    return model


def scores_of(model: Recommender, history: list[Interaction]) -> npt.NDArray[np.float64]:
    """The score of every row after this history; minus infinity for row 0, which is no item."""
    items, scores = model.recommend(history, len(model.vocabulary))
    out = np.full(len(model.vocabulary) + 1, -np.inf)
    out[[model.vocabulary.row(item) for item in items]] = scores
    return out
