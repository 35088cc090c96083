"""The gate: what a candidate must hold against its parent before it is published.

    1 finite      loss and all weights are numbers (``trainer.learning.training.broken``)
    2 norm        no weight's root mean square has grown ``norm_jump``-fold
    3 not worse   on targets neither has learnt from, held out of this window (``new``) and of those
                  before (``past``), it loses no more than ``tolerance`` of the parent's gain,
                  by ``confidence`` standard errors; on past ones what candidates of this stream
                  usually lose besides, up to as much again

Past targets are ranked by the networks alone. Counts go with the time, and the candidate's are of a
later one: on a stream that drifts they would make every candidate worse at what is past. Nor are
items that have suddenly much of the window rivals of past targets: news that everybody reads is
rightly ranked first, and all else one place lower, which was not right before the news came. How
much is right no more after a window depends on the stream, and on how long the window is.

A window that is not plausible (``trainer.gate.window_checks``) yields no candidate at all. After
``patience`` windows held in a row the stream is taken to have changed: only 1 still holds, and
what the gate knew is forgotten. What turns out worse all the same: ``trainer.gate.probation``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from everfresh.contracts.event import ItemId
from everfresh.contracts.settings import GateSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import Ranks
from everfresh.model.recommender import NETWORK, VERSION, Recommender
from everfresh.trainer.gate.window_checks import Profile, surely
from everfresh.trainer.scoring.paired import Paired, pair
from everfresh.trainer.windows.holdout import HoldoutSplit

_NEW, _PAST = "new", "past"
_WAYS = {_NEW: VERSION, _PAST: NETWORK}
_NEWS, _RISEN = 0.05, 2.0
"""Items with more than this share of a window's targets, and so many times the share that they had
of past ones, are no rivals of these."""
_NOTHING = Paired()
_LEAST = 0.01
"""Root mean squares below this count as this: a weight that has yet to move may."""


@dataclass(frozen=True)
class Judged:
    """Why a candidate must not take its parent's place, ``None`` where nothing speaks against, and
    what it loses to the parent on past targets."""

    refused: str | None = None
    past: Paired = _NOTHING


@dataclass(frozen=True)
class MeasuredParent:
    """A parent as it was before its candidate was trained in its place.

    ``barred`` are, by slice, the items that its targets are not ranked among.
    """

    norms: dict[str, float]
    slices: Mapping[str, tuple[Sequence[DecodedExample], Ranks]]
    barred: Mapping[str, Sequence[ItemId]]


def measure_parent(parent: Recommender, split: HoldoutSplit) -> MeasuredParent:
    """To be called before training."""
    barred: dict[str, Sequence[ItemId]] = {_NEW: (), _PAST: _news(split)}
    slices = {
        name: (examples, _ranks(parent, name, examples, barred[name]))
        for name, examples in ((_NEW, split.new), (_PAST, split.past))
    }
    return MeasuredParent(_norms(parent), slices, barred)


def judge_candidate(
    candidate: Recommender, parent: MeasuredParent, settings: GateSettings, profile: Profile
) -> Judged:
    """Hold it against its parent; ``profile`` is what the stream was like."""
    for name, norm in _norms(candidate).items():
        before = max(_LEAST, parent.norms.get(name, 0.0))
        if norm > settings.norm_jump * before:
            return Judged(f"the norm of {name} has grown {norm / before:.1f}-fold")
    lost = {
        name: pair(_ranks(candidate, name, examples, parent.barred[name]), ranks, examples)
        for name, (examples, ranks) in parent.slices.items()
    }
    usual = min(profile.forgets, settings.tolerance)
    refused = next(
        (
            f"worse than its parent on {compared.n:.0f} {name} targets: loses "
            f"{compared.s / compared.base:.0%} of its gain"
            for name, compared in lost.items()
            if compared.worse(
                settings.tolerance + (usual if name == _PAST else 0.0), settings.confidence
            )
        ),
        None,
    )
    return Judged(refused, lost[_PAST])


def _news(split: HoldoutSplit) -> list[ItemId]:
    """Items that have suddenly much of the window, whatever few past targets may hide; fewer than
    twenty."""
    before = _last_items(split.past)
    # Of visits the last targets are held out, so those are compared with last ones.
    now = _last_items([*split.window.examples, *split.new])
    return [
        item
        for item, number in now.items()
        if number > _NEWS * now.total()
        and number / now.total() > _RISEN * _at_most(before[item], before.total())
    ]


def _at_most(number: int, total: int) -> float:
    """A share of which so many of ``total`` were seen, and one standard error more."""
    return 1.0 - surely(1.0 - number / total, total, 1.0) if total else 1.0


def _last_items(examples: Sequence[DecodedExample]) -> Counter[ItemId]:
    """How often each item is the last target of an example that is no refusal."""
    return Counter(
        example.targets[-1].item
        for example in examples
        if example.targets and not example.marks[-1]
    )


def _ranks(
    recommender: Recommender,
    name: str,
    examples: Sequence[DecodedExample],
    barred: Sequence[ItemId],
) -> Ranks:
    return recommender.ranks_by([_WAYS[name]], examples, False, barred=barred)[0]


def _norms(recommender: Recommender) -> dict[str, float]:
    """Root mean square of each weight."""
    return {
        name: float(torch.linalg.vector_norm(weight.detach())) / math.sqrt(weight.numel())
        for name, weight in recommender.network.named_parameters()
    }
