"""What one run gains over another on the same targets, with its interval over users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everfresh.evaluation.bootstrap import mean_with_interval

Gain = tuple[float, float, float]
"""In HR@10: the mean, and both ends of its 95 % interval."""


class Ran(Protocol):
    """A run: the ranks of its targets, and whose these are."""

    @property
    def ranks(self) -> list[int]:
        """One for each target, from 1."""

    @property
    def users(self) -> list[int]:
        """Likewise."""


def hits(ranks: Sequence[int]) -> NDArray[np.float64]:
    """1 for each target among the first ten, 0 for others."""
    return (np.asarray(ranks) <= 10).astype(np.float64)


def gain_over(mine: Sequence[Ran], theirs: Sequence[Ran]) -> Gain:
    """Over all seeds: users of different seeds are different users."""
    gained = [hits(run.ranks) - hits(other.ranks) for run, other in zip(mine, theirs, strict=True)]
    users = [at << 40 | np.asarray(run.users) for at, run in enumerate(mine)]
    numbered = np.unique(np.concatenate(users), return_inverse=True)[1]
    return mean_with_interval(np.concatenate(gained), numbered, 17)


def told(gain: Gain) -> str:
    """With its interval."""
    return f"{gain[0]:+.4f} [{gain[1]:+.4f}, {gain[2]:+.4f}]"
