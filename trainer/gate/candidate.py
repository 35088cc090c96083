"""The gate: what a candidate must hold against its parent before it is published.

    1 finite      loss and all weights are numbers (``trainer.learning.training.broken``)
    2 norm        no weight's root mean square has grown ``norm_jump``-fold
    3 not worse   on targets neither has learnt from, held out of this window (``new``) and of those
                  before (``past``), it loses no more than ``tolerance`` of the parent's gain,
                  by ``confidence`` standard errors; unless, on past ones, what it surely gains on
                  new ones is at least as much

Past targets are ranked by the networks alone. Counts go with the time, and the candidate's are of a
later one: on a stream that drifts they would make every candidate worse at what is past. So does
news that everybody reads: who ranks it first ranks all else one lower. To hold it would be to stay
behind, and the next window's candidate would be further from such a parent still. If it was wrong,
what is served meanwhile tells (``trainer.gate.probation``).

A window that is not plausible (``trainer.gate.window_checks``) yields no candidate at all. After
``patience`` windows held in a row the stream is taken to have changed: only 1 still holds, and
what the gate knew is forgotten. What turns out worse all the same: ``trainer.gate.probation``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from everfresh.contracts.settings import GateSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import Ranks
from everfresh.model.recommender import NETWORK, VERSION, Recommender
from everfresh.trainer.scoring.paired import Paired, pair
from everfresh.trainer.windows.holdout import HoldoutSplit

_NEW, _PAST = "new", "past"
_WAYS = {_NEW: VERSION, _PAST: NETWORK}
_LEAST = 0.01
"""Root mean squares below this count as this: a weight that has yet to move may."""


@dataclass(frozen=True)
class MeasuredParent:
    """A parent as it was before its candidate was trained in its place."""

    norms: dict[str, float]
    slices: dict[str, tuple[Sequence[DecodedExample], Ranks]]


def measure_parent(parent: Recommender, split: HoldoutSplit) -> MeasuredParent:
    """To be called before training."""
    slices = {_NEW: split.new, _PAST: split.past}
    return MeasuredParent(
        _norms(parent),
        {name: (examples, _ranks(parent, name, examples)) for name, examples in slices.items()},
    )


def judge_candidate(
    candidate: Recommender, parent: MeasuredParent, settings: GateSettings
) -> str | None:
    """Why the candidate must not take its parent's place, ``None`` where nothing speaks against."""
    for name, norm in _norms(candidate).items():
        before = max(_LEAST, parent.norms.get(name, 0.0))
        if norm > settings.norm_jump * before:
            return f"the norm of {name} has grown {norm / before:.1f}-fold"
    compared = {
        name: pair(_ranks(candidate, name, examples), ranks, examples)
        for name, (examples, ranks) in parent.slices.items()
    }
    outweighed = _outweighs(compared[_NEW], compared[_PAST], settings)
    for name, sums in compared.items():
        if sums.worse(settings.tolerance, settings.confidence) and not (
            name == _PAST and outweighed
        ):
            return (
                f"worse than its parent on {sums.n:.0f} {name} targets: loses "
                f"{sums.s / sums.base:.0%} of its gain"
            )
    return None


def _outweighs(new: Paired, past: Paired, settings: GateSettings) -> bool:
    """Whether a target of the new ones surely gains, and no less than a past one loses."""
    return new.better(settings.confidence) and -new.loss >= past.loss


def _ranks(recommender: Recommender, name: str, examples: Sequence[DecodedExample]) -> Ranks:
    return recommender.ranks_by([_WAYS[name]], examples, False)[0]


def _norms(recommender: Recommender) -> dict[str, float]:
    """Root mean square of each weight."""
    return {
        name: float(torch.linalg.vector_norm(weight.detach())) / math.sqrt(weight.numel())
        for name, weight in recommender.network.named_parameters()
    }
