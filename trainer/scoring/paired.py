"""Two contenders on the same targets: by how much one is worse, and how sure that is.

A target's gain is the discounted gain of its rank without a cut, ``1 / log2(1 + rank)`` (Järvelin
and Kekäläinen 2002), 0 for a miss. Differences are taken target by target. Targets of one example
are not independent, so the standard error is that of a ratio of sums over examples (Cochran 1977,
Sampling Techniques, section 6.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import MISS, Ranks
from everfresh.trainer.scoring.target_groups import taught_targets

Gains = NDArray[np.float64]
_FEWEST = 10


class Paired(msgspec.Struct, frozen=True):
    """Sums over examples, so that windows can be added up (``+``).

    An example has ``n`` targets, loses ``s`` in gain on them in all, and would have gained ``base``
    with the contender it is compared with.
    """

    examples: int = 0
    n: float = 0.0
    s: float = 0.0
    base: float = 0.0
    nn: float = 0.0
    sn: float = 0.0
    ss: float = 0.0

    def __add__(self, other: Paired) -> Paired:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Paired(*(left + right for left, right in zip(mine, theirs, strict=True)))

    @property
    def loss(self) -> float:
        """Mean loss in gain per target; below zero where nothing is lost."""
        return self.s / self.n if self.n else 0.0

    @property
    def error(self) -> float:
        """Standard error of ``loss``; infinite for so few examples that none can be told."""
        if self.examples < _FEWEST:
            return math.inf
        squares = self.ss - 2 * self.loss * self.sn + self.loss**2 * self.nn
        return math.sqrt(max(0.0, squares) * self.examples / (self.examples - 1)) / self.n

    def worse(self, tolerance: float, confidence: float) -> bool:
        """Whether more than ``tolerance`` of the base is lost, by ``confidence`` errors."""
        if not self.n or math.isinf(self.error):
            return False
        return self.loss - confidence * self.error > tolerance * self.base / self.n


def discounted_gains(ranks: Ranks) -> Gains:
    """The gain of each target."""
    return np.where(ranks >= MISS, 0.0, 1.0 / np.log2(1.0 + np.minimum(ranks, MISS)))


def pair(ours: Ranks, theirs: Ranks, examples: Sequence[DecodedExample]) -> Paired:
    """What ``ours`` loses against ``theirs`` on the targets of these examples, less refusals."""
    taught = taught_targets(examples)
    base = discounted_gains(theirs[taught])
    lost = base - discounted_gains(ours[taught])
    numbers = np.array([example.taught for example in examples], dtype=np.float64)
    owner = np.repeat(np.arange(len(examples)), numbers.astype(np.int64))
    sums = np.bincount(owner, weights=lost, minlength=len(examples))
    return Paired(
        examples=len(examples),
        n=float(numbers.sum()),
        s=float(lost.sum()),
        base=float(base.sum()),
        nn=float((numbers**2).sum()),
        sn=float((sums * numbers).sum()),
        ss=float((sums**2).sum()),
    )
