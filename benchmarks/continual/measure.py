"""Learns period by period and tests on the next, by ADER's protocol, for one strategy."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.continual.kept_work import KeptWork, Period
from everfresh.adapters.files.datasets import event_check, read_ader
from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import EventSettings, Settings, load_settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.metrics import Mask, Ranks, only, scores
from everfresh.model.opponents.opponents import OPPONENTS, Opponents
from everfresh.trainer.learning.learner import Learner, fresh_learner
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.learning.training_batch import TrainingBatch
from everfresh.trainer.scoring.prequential import Contender

PERIODS = 16
STRATEGIES = ("frozen", "finetune", "ewc", "replay", "herding", "distill", "retrain")
MODEL = {
    "dim": 64,
    "blocks": 2,
    "heads": 1,
    "max_length": 20,
    "dropout": 0.3,
    "temperature": 0.07,
    "negatives": 2048,
}
TRAINER = {
    "learning_rate": 4e-3,
    "schedule": "decay",
    "first_epochs": 12,
    "epochs": 6,
    "batch_tokens": 1024,
    "replay_examples": 30_000,
    "replay_ratio": 0.6,
    "expire_after_s": 0.0,
}
OWN: dict[str, dict[str, object]] = {
    # Every session is kept: some 190,000 at the end.
    "replay": {"replay_examples": 1_000_000, "parent_share": 0.4},
    "herding": {"strategy": "replay", "replay_choice": "herding"},
    "distill": {"replay_choice": "herding"},
}
"""What a strategy has of its own, beside its name."""


def read_windows(folder: Path) -> list[TrainingWindow]:
    """One window per period, one example per session."""
    windows, check = [], event_check(EventSettings())
    for label in range(PERIODS + 1):
        sessions: dict[UserId, list[Interaction]] = {}
        for event in read_ader(folder / f"period_{label}.txt", check):
            click = Interaction(event.item_id, event.type, event.time)
            sessions.setdefault(event.user_id, []).append(click)
        windows.append(
            TrainingWindow(label, {}, [_example(u, s, 0) for u, s in sessions.items()], {})
        )
    return windows


def tests(window: TrainingWindow, known: set[object] | None) -> list[DecodedExample]:
    """Sessions of two clicks or more whose later ones are targets; of ``known`` items alone."""
    kept = []
    for example in window.examples:
        clicks = [click for click in example.targets if known is None or click.item in known]
        if len(clicks) > 1:
            kept.append(_example(example.user, clicks, 1))
    return kept


def _example(user: UserId, clicks: list[Interaction], first: int) -> DecodedExample:
    return DecodedExample(user, clicks[:first], clicks[first:], [], [])


def settings_of(strategy: str) -> Settings:
    """The trainer's settings for one line of the table."""
    trainer = {**TRAINER, "strategy": strategy, **OWN.get(strategy, {})}
    # The rivals learn period by period: nothing may be counted within the one that is tested.
    return load_settings({"model": MODEL, "trainer": trainer, "serving": {"tail": False}})


class _NoSteps:
    """Takes no step: of a window that it trains stays what is counted, not what is trained."""

    def descend(self, network: Network, strategy: Strategy, batch: TrainingBatch) -> float:
        return 0.0


def run_strategy(
    name: str,
    windows: list[TrainingWindow],
    settings: Settings,
    chosen: Sequence[int],
    learner: Learner | None = None,
    begin: int = 0,
) -> Iterator[Period]:
    """Learn and test; of a retrain only the ``chosen`` periods, its others are just remembered.

    ``learner`` has learnt what comes before period ``begin``.
    """
    learner = learner or fresh_learner(settings)
    known: set[object] = set()
    for at, (window, following) in enumerate(itertools.pairwise(windows)):
        known.update(click.item for example in window.examples for click in example.targets)
        if at < begin:
            continue
        began, tokens = time.process_time(), 0
        if name == "retrain" and at not in chosen:
            train_window(learner.task(window, settings, at), _NoSteps())
        else:
            tokens = train_window(learner.task(window, settings, at)).tokens
        learner.strategy.remember(learner.network, window, at)
        train_s = time.process_time() - began
        if at in chosen:
            yield Period(
                name, at, *_tested(learner.network.recommender, following, known), train_s, tokens
            )


class _SessionByItself:
    """An opponent that learns with every click, asked as others are: period by period."""

    def __init__(self, opponent: Contender) -> None:
        self._opponent = opponent

    def ranks(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Mask | None = None
    ) -> Ranks:
        examples = only(examples, asked)
        ranks = [self._opponent.ranks([example], exclude_seen) for example in examples]
        return np.concatenate(ranks) if ranks else np.zeros(0, np.int64)


def run_opponent(name: str, windows: list[TrainingWindow]) -> Iterator[Period]:
    """Learn and test every period by counting; all opponents learn, one is tested."""
    opponents, known = Opponents(), set[object]()
    for at, (window, following) in enumerate(itertools.pairwise(windows)):
        known.update(click.item for example in window.examples for click in example.targets)
        train_s = 0.0
        for of, step in opponents.steps(window.examples, at, None, exclude_seen=False):
            began = time.process_time()
            step()
            train_s += time.process_time() - began if of == name else 0.0
        ranker = _SessionByItself(opponents.contenders()[name])
        yield Period(name, at, *_tested(ranker, following, known), train_s, 0)


def _tested(
    ranker: Contender, window: TrainingWindow, known: set[object]
) -> tuple[float, float, float, float]:
    """Recall and MRR by ADER's rule, then with everything."""
    everything = tests(window, None)
    ranks = ranker.ranks(everything, exclude_seen=False)
    ends = np.cumsum([len(example.targets) for example in everything])
    pure = [
        all(click.item in known for click in [*example.context, *example.targets])
        for example in everything
    ]
    # Sessions of known items alone are ranked once; the others once more without the rest.
    mask = np.repeat(pure, np.diff(ends, prepend=0))
    mixed = [example for example, known_all in zip(everything, pure, strict=True) if not known_all]
    again = ranker.ranks(tests(_window(mixed), known), exclude_seen=False)
    figures = []
    for of_clicks in (np.concatenate([ranks[mask], again]), ranks):
        measured = scores(of_clicks, (20,))
        figures += [100 * measured["hr20"], 100 * measured["mrr20"]]
    return figures[0], figures[1], figures[2], figures[3]


def _window(sessions: list[DecodedExample]) -> TrainingWindow:
    examples = [
        _example(session.user, session.context + session.targets, 0) for session in sessions
    ]
    return TrainingWindow(0, {}, examples, {})


def measure(
    name: str, windows: list[TrainingWindow], options: argparse.Namespace
) -> dict[int, Period]:
    """All periods of one strategy, of this run or kept by an earlier one."""
    if name in OPPONENTS:
        return {period.period: period for period in run_opponent(name, windows)}
    work, settings = KeptWork(options.work), settings_of(name)
    done, alone = work.periods(name), name == "retrain"
    periods = list(range(len(windows) - 1))
    learner, begin = (None, 0) if alone else work.resume(name, settings)
    if alone and options.retrain_periods:
        periods = [int(number) for number in options.retrain_periods.split(",")]
    # A retrain's periods are independent; each of the others builds on the one before.
    chosen = [at for at in periods if (at not in done if alone else at >= begin)]
    if not chosen:
        return done
    for period in run_strategy(name, windows, settings, chosen, learner, begin):
        done[period.period] = period
        print(msgspec.json.encode(period).decode(), file=sys.stderr, flush=True)
        work.add(period)
        if learner is not None:
            work.keep(name, learner, period.period + 1)
    return done
