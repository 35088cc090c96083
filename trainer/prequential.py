"""Test, then train (law 4): a window is ranked by every contender before anyone learns from it.

All contenders rank the full vocabulary for the same targets. A target a contender does not know is
a miss, not an omission, so that every mean is over the same events (prequential evaluation: Gama,
Sebastião, Rodrigues, "On evaluating stream learning algorithms", 2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.window import DecodedExample, TrainingWindow
from model.metrics import scores

LIVE, FROZEN, POPULARITY, MARKOV = "live", "frozen", "popularity", "markov"

METRICS = ("hr10", "ndcg10")
"""The figures of a contender, each a mean over the window's targets."""


class Contender(Protocol):
    """Anything that can rank: a network or a baseline. Ranking changes nothing in it."""

    def ranks(self, examples: Sequence[DecodedExample], exclude_seen: bool) -> NDArray[np.int64]:
        """The 1-based rank of every target, examples first, targets of one in order; int64."""


def score_window(
    window: TrainingWindow, contenders: Mapping[str, Contender], exclude_seen: bool
) -> dict[str, dict[str, float]]:
    """Contender -> metric -> mean over the window's targets; ``ValueError`` where ranks lack."""
    table: dict[str, dict[str, float]] = {}
    for name, contender in contenders.items():
        ranks = contender.ranks(window.examples, exclude_seen)
        if len(ranks) != window.events:
            raise ValueError(f"{name} ranked {len(ranks)} of {window.events} targets")
        measured = scores(ranks)
        table[name] = {metric: float(measured[metric]) for metric in METRICS}
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
        metric, _, contender = name.partition("_")
        table.setdefault(contender, {})[metric] = value
    return table
