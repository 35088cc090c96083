"""Test, then train (law 4): a window is ranked by every contender before anyone learns from it.

All contenders rank the full vocabulary for the same targets. A target a contender does not know is
a miss, not an omission, so that every mean is over the same events (prequential evaluation: Gama,
Sebastião, Rodrigues, "On evaluating stream learning algorithms", 2013).

Beside the means over all targets stand those over groups of them
(``trainer.scoring.target_groups``).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from everfresh.contracts.event import ItemId
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.cold_items import WithCold
from everfresh.model.metrics import MISS, Firsts, Ranks, scores
from everfresh.model.recommender import TAIL, VERSION
from everfresh.trainer.scoring.judged import of_targets
from everfresh.trainer.scoring.target_groups import Groups

LIVE, FROZEN = "live", "frozen"
OWN, COUNTS = "own", "counts"
"""What serves, by what its version holds alone: what the gate judges. And its counts alone, to tell
what histories are worth."""

METRICS = ("hr10", "ndcg10")
"""The figures of a contender, each a mean over the window's targets."""


class Contender(Protocol):
    """Anything that can rank: a network or an opponent. Ranking changes nothing in it."""

    def ranks(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> NDArray[np.int64]:
        """The 1-based rank of every target, examples first, targets of one in order; int64.

        Only the ``asked`` targets are ranked; what learns meanwhile hears all."""


@runtime_checkable
class SeveralWays(Protocol):
    """What serves: it says at once how it ranks as replicas answer, and in other ways."""

    def several(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> dict[str, Ranks]:
        """As :data:`LIVE`; where a gate asks, also :data:`OWN`, if another, and :data:`COUNTS`."""


class Served:
    """The version that serves, as replicas answer with it: its trends are kept up by a ``tail``,
    unless that is off. ``half_life`` is that of its counts alone; ``None`` where no gate asks for
    these and for what it holds alone."""

    def __init__(self, model: WithCold, tail: bool, half_life: float | None) -> None:
        self.model = model
        self.ways: dict[str, str | float] = {LIVE: TAIL if tail else VERSION}
        if half_life is not None:
            self.ways |= {OWN: VERSION, COUNTS: half_life} if tail else {COUNTS: half_life}

    def ranks(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> NDArray[np.int64]:
        """See :class:`Contender`."""
        return self.model.ranks_by([self.ways[LIVE]], examples, exclude_seen, asked=asked)[0]

    def several(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> dict[str, Ranks]:
        """See :class:`SeveralWays`."""
        ranks = self.model.ranks_by([*self.ways.values()], examples, exclude_seen, asked=asked)
        return dict(zip(self.ways, ranks, strict=True))


def rank_window(
    window: TrainingWindow,
    contenders: Mapping[str, Contender],
    exclude_seen: bool,
    flood: frozenset[ItemId] = frozenset(),
    asked: Firsts | None = None,
) -> dict[str, Ranks]:
    """Contender -> rank of every target that is ``asked``, or of all; ``ValueError`` where one
    leaves out targets.

    Of what serves :data:`OWN` and :data:`COUNTS` are there besides, where a gate asks for them.

    Nobody knows the items of a ``flood``. What is an example of these alone is missed unread.
    """
    known = [
        not flood or any(target.item not in flood for target in example.targets)
        for example in window.examples
    ]
    examples = list(itertools.compress(window.examples, known))
    judged = of_targets(window.examples, asked)
    ranked = np.repeat(known, [len(example.targets) for example in window.examples])[judged]
    among = None if asked is None else asked[np.array(known, np.bool_)]
    table: dict[str, Ranks] = {}
    for name, contender in contenders.items():
        if isinstance(contender, SeveralWays):
            found = contender.several(examples, exclude_seen, among)
        else:
            found = {name: contender.ranks(examples, exclude_seen, among)}
        for each, ranks in found.items():
            if len(ranks) != ranked.sum():
                raise ValueError(f"{each} ranked {len(ranks)} of {ranked.sum()} targets")
            table[each] = np.full(len(ranked), MISS, dtype=np.int64)
            table[each][ranked] = ranks
    return table


def score_table(ranked: Mapping[str, Ranks], groups: Groups) -> dict[str, dict[str, float]]:
    """Contender -> metric -> mean over all targets; and over each group, as in ``first_hr10``.

    A group without targets is left out.
    """
    table: dict[str, dict[str, float]] = {}
    for name, ranks in ranked.items():
        measured = scores(ranks)
        table[name] = {metric: float(measured[metric]) for metric in METRICS}
        for group, mask in groups.items():
            if mask.any():
                measured = scores(ranks[mask])
                for metric in METRICS:
                    table[name][f"{group}_{metric}"] = float(measured[metric])
    return table


def flatten(table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """``hr10_live`` and so on, as a manifest keeps them."""
    return {
        f"{metric}_{contender}": value
        for contender, metrics in table.items()
        for metric, value in metrics.items()
    }


def unflatten(scores_by_name: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The inverse of :func:`flatten`."""
    table: dict[str, dict[str, float]] = {}
    for name, value in scores_by_name.items():
        metric, _, contender = name.rpartition("_")
        table.setdefault(contender, {})[metric] = value
    return table
