"""Which of a window's targets are ranked: all of them, or a sample where that would cost too much.

A rank is among all items, so ranking costs targets times items. What it tells grows with the number
of targets, and ever less. So no window is judged on more than :data:`TARGETS` targets, and none of
a large catalogue on more than make :data:`SCORES` scores. Examples are drawn by the window's place
and the seed, so that they are the same after a kill (law 5). Of each its first targets are taken,
so few that :data:`EXAMPLES` have a part in it: one user with very many events neither decides what
a window is worth nor leaves the gate too few users to tell anything by.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.metrics import Firsts, Mask, spread
from everfresh.model.network.batches import derive_seed

TARGETS = 2_048
SCORES = 134_217_728
FEWEST = 128
"""Targets that are ranked at least, if there are as many, however large the catalogue."""
EXAMPLES = 32
"""Examples that have a part in a sample at least, if there are as many."""
_PURPOSE = 8


def asked_targets(window: TrainingWindow, items: int, seed: int) -> Firsts | None:
    """The targets that are ranked among so many ``items``; ``None`` where all are."""
    sizes = [len(example.targets) for example in window.examples]
    left = min(TARGETS, max(FEWEST, SCORES // max(1, items)))
    if sum(sizes) <= left:
        return None
    order = list(range(len(sizes)))
    random.Random(derive_seed(seed, window.label, window.cut, _PURPOSE)).shuffle(order)
    asked = np.zeros(len(sizes), np.int64)
    # What all of them leave goes to those that have more.
    for most in (max(1, left // EXAMPLES), left):
        for at in order:
            number = min(sizes[at], most, int(asked[at]) + left)
            if number > asked[at] and not all(window.examples[at].marks[:number]):
                left -= number - int(asked[at])
                asked[at] = number
    return asked


def of_targets(examples: Sequence[DecodedExample], asked: Firsts | None) -> Mask:
    """Which targets those are."""
    return spread(asked, [len(example.targets) for example in examples])
