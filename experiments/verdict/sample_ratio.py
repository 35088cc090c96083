"""Sample ratio mismatch: do the arms have as many users as the definition's weights say?

Where they have not, something other than chance decides who is counted, and no figure of the
comparison can be trusted. Two tests, since both have a weakness: chi-square finds a mismatch early
but is made for one look, the sequential one holds however often one looks and is weak at first.

Users are counted by the definition under which they were first shown something (a *block*), since
weights may change while an experiment runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from scipy import special

ALARM = 0.001
"""Below this p-value of either test, the comparison is not to be trusted."""
FROM = 100
"""Users from which on an alarm is raised."""
_CONCENTRATION = 10_000.0


class Block(msgspec.Struct, frozen=True):
    """Users of each arm under one definition, and the arms' weights (any positive scale)."""

    users: list[int]
    weights: list[float]


class SampleRatio(msgspec.Struct, frozen=True):
    """``p`` by chi-square and ``p_always`` sequentially; ``None`` where nothing can be tested."""

    users: int
    p: float | None
    p_always: float | None

    @property
    def alarm(self) -> bool:
        """Whether the comparison cannot be trusted."""
        found = [p for p in (self.p, self.p_always) if p is not None]
        return self.users >= FROM and min(found, default=1.0) < ALARM


def sample_ratio(blocks: Sequence[Block]) -> SampleRatio:
    """Both tests over all blocks.

    A user in an arm of weight 0 cannot be: that alone makes both p-values 0.
    """
    users = sum(sum(block.users) for block in blocks)
    open_arms = [_open(block) for block in blocks]
    if any(
        count and not weight
        for block in blocks
        for count, weight in zip(block.users, block.weights, strict=True)
    ):
        return SampleRatio(users, 0.0, 0.0)
    tested = [block for block in open_arms if sum(block.users) and len(block.users) > 1]
    if not tested:
        return SampleRatio(users, None, None)
    return SampleRatio(users, chi_square(tested), sequential(tested))


def chi_square(blocks: Sequence[Block]) -> float:
    """The p-value of Pearson's test; every weight is above 0, every block has users."""
    distance, freedom = 0.0, 0
    for block in blocks:
        scale = sum(block.users) / sum(block.weights)
        distance += sum(
            (count - weight * scale) ** 2 / (weight * scale)
            for count, weight in zip(block.users, block.weights, strict=True)
        )
        freedom += len(block.users) - 1
    return float(special.chdtrc(freedom, distance))


def sequential(blocks: Sequence[Block]) -> float:
    """An always-valid p-value: the weights against a Dirichlet prior around them.

    The Bayes factor of Lindon and Malek (arXiv 2011.03567) is a martingale while the weights hold,
    so by Ville's inequality its inverse is a p-value at any time.
    """
    factor = 0.0
    for block in blocks:
        total, users = sum(block.weights), sum(block.users)
        factor += math.lgamma(_CONCENTRATION) - math.lgamma(_CONCENTRATION + users)
        for count, weight in zip(block.users, block.weights, strict=True):
            share = weight / total
            prior = _CONCENTRATION * share
            factor += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return math.exp(min(0.0, -factor))


def _open(block: Block) -> Block:
    """Without the arms that get nobody."""
    kept = [at for at, weight in enumerate(block.weights) if weight]
    return Block([block.users[at] for at in kept], [block.weights[at] for at in kept])
