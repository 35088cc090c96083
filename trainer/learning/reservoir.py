"""A reservoir of past examples, so that new windows do not wash out the old ones.

Every example ever offered has the same chance to be in it (Vitter 1985, "Random sampling with a
reservoir", algorithm R). No generator is kept: each call draws from a seed that the caller derives
from the version, so a restarted trainer draws the same (law 5).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from everfresh.contracts.window import DecodedExample


class ReservoirState(msgspec.Struct, frozen=True):
    """What a checkpoint keeps: how many examples were ever offered, and those that are held."""

    offered: int
    examples: list[DecodedExample]


class Reservoir:
    """Up to ``size`` past examples, contexts cut to the ``max_context`` entries training sees."""

    def __init__(self, size: int, max_context: int) -> None:
        self.size = size
        self.max_context = max_context
        self._offered = 0
        self._examples: list[DecodedExample] = []

    def __len__(self) -> int:
        return len(self._examples)

    @property
    def targets(self) -> int:
        """Targets of all examples held."""
        return sum(len(example.targets) for example in self._examples)

    @property
    def state(self) -> ReservoirState:
        """A snapshot for the checkpoint."""
        return ReservoirState(self._offered, list(self._examples))

    def restore(self, state: ReservoirState) -> None:
        """Go on from a snapshot; of a larger reservoir's, only as many as fit."""
        self._offered = state.offered
        self._examples = list(state.examples[: self.size])

    def offer(self, examples: Sequence[DecodedExample], seed: int) -> None:
        """Let each example take a place; the same state, examples and seed give the same."""
        rng = random.Random(seed)
        for example in examples:
            self._offered += 1
            if len(self._examples) < self.size:
                self._examples.append(self._cut(example))
                continue
            place = rng.randrange(self._offered)
            if place < self.size:
                self._examples[place] = self._cut(example)

    def draw(self, events: float, seed: int) -> list[DecodedExample]:
        """Different examples with at least ``events`` targets in all, or all there are."""
        drawn: list[DecodedExample] = []
        left = events
        for place in random.Random(seed).sample(range(len(self._examples)), len(self._examples)):
            if left <= 0:
                break
            drawn.append(self._examples[place])
            left -= len(self._examples[place].targets)
        return drawn

    def _cut(self, example: DecodedExample) -> DecodedExample:
        if len(example.context) <= self.max_context:
            return example
        return msgspec.structs.replace(example, context=example.context[-self.max_context :])
