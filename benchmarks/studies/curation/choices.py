"""Rules by which a part of a window is learnt: by chance, by surprise, by who did it how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everfresh.contracts.window import DecodedExample
from everfresh.model.network.batches import EncodedExample, cut_into_chunks
from everfresh.trainer.windows.curation import curated_examples, with_marks

Floats = NDArray[np.float64]
SHARE = 0.7
"""Of a window's tokens, where a rule has a budget."""


@dataclass(frozen=True)
class Told:
    """What is known of a window before it is learnt: for each target its surprise in bits, by the
    live version ``live`` and by counts that fade ``popular``, and whether it was ``injected``."""

    live: Floats
    popular: Floats
    injected: NDArray[np.bool_]
    max_length: int
    seed: int


Examples = list[DecodedExample]
Choice = Callable[[Examples, Told], Examples]


def everything(examples: Examples, told: Told) -> Examples:
    """All of them."""
    return examples


def by_chance(examples: Examples, told: Told) -> Examples:
    """Any."""
    chance = np.random.Generator(np.random.PCG64(told.seed))
    return _filled(examples, chance.permutation(len(examples)), told.max_length)


def hardest(examples: Examples, told: Told) -> Examples:
    """What the live version is most surprised by."""
    return _filled(
        examples, np.argsort(-_means(examples, told.live), kind="stable"), told.max_length
    )


def easiest(examples: Examples, told: Told) -> Examples:
    """What it is least surprised by."""
    return _filled(
        examples, np.argsort(_means(examples, told.live), kind="stable"), told.max_length
    )


def behind_counts(examples: Examples, told: Told) -> Examples:
    """Where the live version is most behind mere counts: the loss that can be reduced, with counts
    in the place of a model that has learnt the window (RHO-loss, arXiv 2206.07137)."""
    excess = _means(examples, told.live - told.popular)
    return _filled(examples, np.argsort(-excess, kind="stable"), told.max_length)


def bounded(examples: Examples, told: Told) -> Examples:
    """``trainer.curate``: no repeats, and of each user no more than is usual by far."""
    return curated_examples(examples, examples)[0]


def honest(examples: Examples, told: Told) -> Examples:
    """What was not injected, which only who injected it can know."""
    return _left_out(examples, told.injected)


CHOICES: dict[str, Choice] = {
    "all": everything,
    "chance": by_chance,
    "hardest": hardest,
    "easiest": easiest,
    "behind_counts": behind_counts,
    "bounded": bounded,
    "honest": honest,
}


def tokens_of(example: DecodedExample, max_length: int) -> int:
    """Input tokens of one pass."""
    number = len(example.context) + len(example.targets)
    shape = EncodedExample(np.empty((4, number), np.int64), len(example.context))
    return sum(chunk.tokens for chunk in cut_into_chunks(shape, max_length))


def _means(examples: Examples, values: Floats) -> Floats:
    sizes = np.array([len(example.targets) for example in examples])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    means: Floats = np.bincount(owner, values, len(sizes)) / sizes
    return means


def _filled(examples: Examples, order: NDArray[np.int64], max_length: int) -> Examples:
    """The first in ``order`` that have :data:`SHARE` of all tokens together."""
    tokens = np.array([tokens_of(example, max_length) for example in examples])
    before = np.cumsum(tokens[order]) - tokens[order]
    kept = np.sort(order[before < SHARE * tokens.sum()])
    return [examples[at] for at in kept]


def _left_out(examples: Examples, marks: NDArray[np.bool_]) -> Examples:
    """Without the marked targets: context of what comes after, and not taught."""
    kept: Examples = []
    begin = 0
    for example in examples:
        own = marks[begin : begin + len(example.targets)]
        begin += len(example.targets)
        kept += with_marks(example, own.tolist())
    return kept
