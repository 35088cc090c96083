"""Which of a window's targets are ranked: all of them, or a sample where that would cost too much.

A rank is among all items, so ranking costs targets times items. What it tells grows with the number
of targets, and ever less. So no window is judged on many more than :data:`TARGETS` targets, and
none of a large catalogue on more than make :data:`SCORES` scores: whole examples, drawn by the
window's place and the seed, so that they are the same whoever ranks it, and after a kill (law 5).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.metrics import Mask, spread
from everfresh.model.network.batches import derive_seed

TARGETS = 2_048
SCORES = 134_217_728
FEWEST = 128
"""Targets that are ranked at least, if there are as many, however large the catalogue."""
_PURPOSE = 8


def asked_examples(window: TrainingWindow, items: int, seed: int) -> Mask | None:
    """The examples whose targets are ranked among so many ``items``; ``None`` where all are."""
    most = min(TARGETS, max(FEWEST, SCORES // max(1, items)))
    if window.events <= most:
        return None
    order = list(range(len(window.examples)))
    random.Random(derive_seed(seed, window.label, window.cut, _PURPOSE)).shuffle(order)
    asked = np.zeros(len(order), np.bool_)
    for at in order:
        if most <= 0:
            break
        asked[at] = True
        most -= len(window.examples[at].targets)
    return asked


def of_targets(examples: Sequence[DecodedExample], asked: Mask | None) -> Mask:
    """Which targets those are."""
    return spread(asked, [len(example.targets) for example in examples])
