"""A window before anyone learns from it: ranked by every contender, scored, described (law 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from everfresh.contracts.window import TrainingWindow
from everfresh.model.metrics import Ranks
from everfresh.trainer.checkpoint import TrainedWindow
from everfresh.trainer.gate.paired import Paired, pair
from everfresh.trainer.lineage import Line
from everfresh.trainer.scoring.prequential import (
    FROZEN,
    LIVE,
    MARKOV,
    POPULARITY,
    Contender,
    flatten,
    fresh_targets,
    rank_window,
    score_table,
)
from everfresh.trainer.scoring.reporting import describe
from everfresh.trainer.windows.backlog import Taken


@dataclass(frozen=True)
class Scored:
    """``ranks`` are of all targets by contender; ``scores`` are as a manifest keeps them."""

    window: TrainingWindow
    ranks: Mapping[str, Ranks]
    scores: dict[str, float]
    about: TrainedWindow

    @property
    def behind(self) -> Paired | None:
        """What the live model loses against popularity; ``None`` before the first version."""
        if LIVE not in self.ranks:
            return None
        return pair(self.ranks[LIVE], self.ranks[POPULARITY], self.window.examples)


def score(taken: Taken, line: Line, exclude_seen: bool) -> Scored:
    """Rank with the version that serves, its frozen ancestor and the baselines."""
    window = taken.window
    label = line.parent.label if line.parent else None
    fresh = fresh_targets(window, line.learner.network.recommender.vocabulary, label)
    ranks = rank_window(window, _contenders(line), exclude_seen)
    about = describe(window, int(fresh.sum()), taken.labels, taken.share)
    return Scored(window, ranks, flatten(score_table(ranks, fresh)), about)


def _contenders(line: Line) -> dict[str, Contender]:
    baselines: dict[str, Contender] = {
        POPULARITY: line.learner.popularity,
        MARKOV: line.learner.markov,
    }
    if line.frozen_model is None:  # no version serves yet
        return baselines
    return {LIVE: line.parents[line.number], FROZEN: line.frozen_model, **baselines}
