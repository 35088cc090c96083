"""Test, then train (law 4) over windows at hand: several strategies, the same code as live.

Every contender goes through all windows on its own: it ranks a window's targets, then learns them
as the trainer does (``trainer.learning.training``). Its scores are emitted window by window, and at
the end the margins of all over one of them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from everfresh.contracts.errors import RunError, SettingsError
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import TrainingWindow
from everfresh.evaluation.bootstrap import MARGINS, mean_with_interval, metric_values
from everfresh.evaluation.results import Margin, ResultLine, WindowScore
from everfresh.model.baselines import LastItemMarkov, Popularity
from everfresh.model.metrics import Ranks, scores
from everfresh.trainer.learning.learner import fresh_learner
from everfresh.trainer.learning.strategies import STRATEGIES
from everfresh.trainer.learning.training import broken, train_window
from everfresh.trainer.scoring.prequential import MARKOV, POPULARITY

KS = (10, 20)
"""Lengths of the lists that are measured; with one true item, recall at k is the hit rate at k."""

FROZEN = "frozen"
_BASELINES: dict[str, type[Popularity] | type[LastItemMarkov]] = {
    POPULARITY: Popularity,
    MARKOV: LastItemMarkov,
}

Emit = Callable[[ResultLine], None]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What all contenders share: the windows, which of their targets are fresh, whose they are."""

    windows: Sequence[TrainingWindow]
    fresh: Sequence[npt.NDArray[np.bool_]]
    users: npt.NDArray[np.int64]
    exclude_seen: bool

    @classmethod
    def of(cls, windows: Sequence[TrainingWindow], *, exclude_seen: bool) -> Comparison:
        """A target is fresh where the window before it was the first to bring its item.

        None is in windows 0 and 1: to window 1 every item that is known at all is that young, so
        its targets say nothing of items that are new among older ones, and would outweigh the rest.
        ``users`` numbers the user of every target of every window but the first.
        """
        born: dict[object, int] = {}
        numbers: dict[object, int] = {}
        fresh, users = [], []
        for at, window in enumerate(windows):
            pairs = [
                (example.user, target.item)
                for example in window.examples
                for target in example.targets
            ]
            born_here = [born.setdefault(item, at) for _, item in pairs]
            fresh.append(np.array([0 < first == at - 1 for first in born_here], dtype=np.bool_))
            if at:
                users += [numbers.setdefault(user, len(numbers)) for user, _ in pairs]
        return cls(windows, fresh, np.array(users, dtype=np.int64), exclude_seen)


def compare(
    comparison: Comparison,
    names: Sequence[str],
    settings: Settings,
    emit: Emit,
    against: str = FROZEN,
) -> None:
    """Run every named strategy and both baselines, then emit margins over ``against``.

    ``SettingsError`` for an unknown name, or where ``against`` is none of those that run; where
    frozen does not run, and no other was asked for, no margins are emitted.
    """
    chosen = {name: strategy_settings(settings, name) for name in names}
    if against not in (*chosen, *_BASELINES, FROZEN):
        raise SettingsError(
            f"no contender {against!r} to hold others against; there run "
            f"{', '.join((*chosen, *_BASELINES))}: choose one of them or add it to the strategies"
        )
    ranks = {name: _run_strategy(comparison, name, own, emit) for name, own in chosen.items()}
    for name, baseline in _BASELINES.items():
        ranks[name] = _run_baseline(comparison, name, baseline(), emit)
    if against in ranks:
        _emit_margins(comparison, ranks, against, settings.trainer.seed, emit)


def _emit_margins(
    comparison: Comparison, ranks: Mapping[str, Ranks], against: str, seed: int, emit: Emit
) -> None:
    """What each gains over ``against``, target by target."""
    users = len(np.unique(comparison.users))
    for name in [contender for contender in ranks if contender != against]:
        for metric in MARGINS:
            gained = metric_values(ranks[name], metric) - metric_values(ranks[against], metric)
            interval = mean_with_interval(gained, comparison.users, seed)
            emit(Margin(name, metric, *interval, users, against))


def strategy_settings(settings: Settings, name: str) -> Settings:
    """``replay`` or, with the choice of exemplars behind a colon, ``replay:herding``."""
    strategy, _, choice = name.partition(":")
    if strategy not in STRATEGIES or choice not in ("", "random", "herding", "loss"):
        raise SettingsError(
            f"no strategy {name!r}; there are {', '.join(STRATEGIES)}, and :herding or :loss "
            "may follow replay and distill"
        )
    changes = {"strategy": strategy} | ({"replay_choice": choice} if choice else {})
    tuning = settings.trainer.model_copy(update=changes)
    return settings.model_copy(update={"trainer": tuning})


def _run_strategy(comparison: Comparison, name: str, settings: Settings, emit: Emit) -> Ranks:
    learner = fresh_learner(settings)
    network = learner.network
    ranked: list[Ranks] = []
    for at, window in enumerate(comparison.windows):
        if at:
            ranked.append(network.recommender.ranks(window.examples, comparison.exclude_seen))
        began = time.process_time()
        outcome = train_window(learner.task(window, settings, at))
        if why := broken(network, outcome):
            raise RunError(f"{name} broke in window {at}: {why}; lower trainer.learning_rate")
        learner.strategy.remember(network, window, at)
        train_s = time.process_time() - began
        emit(_score(comparison, name, at, ranked, train_s, outcome.tokens))
    return _concatenated(ranked)


def _run_baseline(
    comparison: Comparison, name: str, baseline: Popularity | LastItemMarkov, emit: Emit
) -> Ranks:
    ranked: list[Ranks] = []
    for at, window in enumerate(comparison.windows):
        if at:
            ranked.append(baseline.ranks(window.examples, comparison.exclude_seen))
        began = time.process_time()
        baseline.update(window.examples)
        emit(_score(comparison, name, at, ranked, time.process_time() - began, 0))
    return _concatenated(ranked)


def _score(
    comparison: Comparison, name: str, at: int, ranked: list[Ranks], train_s: float, tokens: int
) -> WindowScore:
    ranks, fresh = (ranked[-1], comparison.fresh[at]) if at else (np.zeros(0, np.int64), None)
    young = ranks[fresh] if fresh is not None else ranks
    return WindowScore(
        name,
        at,
        len(comparison.windows),
        comparison.windows[at].events,
        len(young),
        scores(ranks, KS) if at else {},
        scores(young, KS) if len(young) else {},
        train_s,
        tokens,
    )


def _concatenated(ranked: list[Ranks]) -> Ranks:
    return np.concatenate(ranked) if ranked else np.zeros(0, dtype=np.int64)
