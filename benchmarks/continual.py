"""Continual learning as ADER measured it (Mi, Lin, Faltings, RecSys 2020) on DIGINETICA.

Period by period: learn period t (0 to 15), then rank every click but the first of each session of
period t + 1 among all items, given the clicks before it. As in ADER's code, test items that no
training period has brought are dropped, and then sessions of one click; ``_all`` figures keep them,
as misses. Recall@20 and MRR@20 are means over a period's clicks, then over the 16 periods.

A session is a user. Every strategy runs the trainer's own code (``trainer.learning.training``) with
the same network and seed. Cost is processor time of training (the machine may be shared) and
tokens; both count everything a strategy does between two periods, choosing exemplars included.

Retrain starts each period from nothing, with as many passes as the first period gets;
``--retrain-periods 3,7`` measures some of its periods and leaves the others. Cost and gain are
compared on the periods that were measured. ``--work`` keeps what is finished: a run that was killed
goes on there after its last whole period, and ends with the figures it would have had.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch

from benchmarks._continual_plot import draw
from benchmarks._continual_work import Period, Work
from benchmarks._harness import add_options, finish, show
from everfresh.adapters.files.datasets import read_ader
from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.metrics import scores
from everfresh.trainer.learning.learner import Learner, fresh_learner, remember
from everfresh.trainer.learning.training import train_window

PERIODS = 16
ADER = (50.21, 17.32)
"""Recall@20 and MRR@20 as published for the method; its joint retrain: 50.03 and 17.31."""

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

COLUMNS = (
    *("recall20", "mrr20", "recall20_all", "mrr20_all", "train_s", "tokens"),
    *("cost_vs_retrain", "recall20_over_retrain"),
)


def read_windows(folder: Path) -> list[TrainingWindow]:
    """One window per period, one example per session."""
    windows = []
    for label in range(PERIODS + 1):
        sessions: dict[UserId, list[Interaction]] = {}
        for event in read_ader(folder / f"period_{label}.txt"):
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
        clicks = [one for one in example.targets if known is None or one.item in known]
        if len(clicks) > 1:
            kept.append(_example(example.user, clicks, 1))
    return kept


def _example(user: UserId, clicks: list[Interaction], first: int) -> DecodedExample:
    return DecodedExample(user, clicks[:first], clicks[first:], [], [])


def settings_of(strategy: str) -> Settings:
    """The trainer's settings for one line of the table."""
    trainer = {**TRAINER, "strategy": strategy, **OWN.get(strategy, {})}
    return load_settings({"model": MODEL, "trainer": trainer})


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
            learner.network.recommender.admit(window.examples, window.label)
        else:
            tokens = train_window(learner.task(window, settings, at)).tokens
        remember(learner, window, at)
        train_s = time.process_time() - began
        if at in chosen:
            yield Period(name, at, *_tested(learner, following, known), train_s, tokens)


def _tested(
    learner: Learner, window: TrainingWindow, known: set[object]
) -> tuple[float, float, float, float]:
    """Recall and MRR by ADER's rule, then with everything."""
    ranker = learner.network.recommender
    everything = tests(window, None)
    ranks = ranker.ranks(everything, exclude_seen=False)
    ends = np.cumsum([len(example.targets) for example in everything])
    pure = [all(one.item in known for one in [*e.context, *e.targets]) for e in everything]
    # Sessions of known items alone are ranked once; the others once more without the rest.
    mask = np.repeat(pure, np.diff(ends, prepend=0))
    mixed = [example for example, whole in zip(everything, pure, strict=True) if not whole]
    again = ranker.ranks(tests(_window(mixed), known), exclude_seen=False)
    figures = []
    for found in (np.concatenate([ranks[mask], again]), ranks):
        measured = scores(found, (20,))
        figures += [100 * measured["hr20"], 100 * measured["mrr20"]]
    return figures[0], figures[1], figures[2], figures[3]


def _window(sessions: list[DecodedExample]) -> TrainingWindow:
    whole = [_example(one.user, one.context + one.targets, 0) for one in sessions]
    return TrainingWindow(0, {}, whole, {})


def measure(
    name: str, windows: list[TrainingWindow], options: argparse.Namespace
) -> dict[int, Period]:
    """All periods of one strategy, of this run or kept by an earlier one."""
    work, settings = Work(options.work), settings_of(name)
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


def main() -> None:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--strategies", default=",".join(STRATEGIES), help="which, with commas")
    parser.add_argument("--work", type=Path, help="folder that keeps finished periods")
    parser.add_argument("--retrain-periods", default="", help="which of retrain; empty for all")
    parser.add_argument("--plot", type=Path, help="draw a PNG there")
    options = parser.parse_args()
    began = time.monotonic()
    torch.set_num_threads(1)
    windows = read_windows(options.data)[: 4 if options.quick else PERIODS + 1]
    names = options.strategies.split(",")
    results = {name: measure(name, windows, options) for name in names}
    if options.plot:
        curves = [
            {
                name: {at: getattr(one, field) for at, one in found.items()}
                for name, found in results.items()
            }
            for field in ("recall20", "mrr20")
        ]
        draw(curves[0], curves[1], ADER, options.plot)
    report(results, began, options.json)


def report(results: dict[str, dict[int, Period]], began: float, target: Path | None) -> None:
    """The table and the flat JSON object."""
    figures: dict[str, float] = {}
    rows = []
    for name, periods in results.items():
        own = _figures(list(periods.values())) | _against(periods, results.get("retrain", {}))
        figures |= {f"{field}_{name}": value for field, value in own.items()}
        rows.append((name, len(periods), *(own.get(field, "") for field in COLUMNS)))
    show(
        "DIGINETICA by ADER's protocol, means of the periods (ADER: 50.21 / 17.32)",
        ("strategy", "periods", *COLUMNS),
        rows,
    )
    finish(figures, began, target)


def _figures(periods: list[Period]) -> dict[str, float]:
    qualities = Period.__struct_fields__[2:6]
    number = max(1, len(periods))
    means = {q: round(sum(getattr(one, q) for one in periods) / number, 2) for q in qualities}
    return {
        **means,
        "train_s": round(sum(one.train_s for one in periods), 1),
        "tokens": sum(one.tokens for one in periods),
    }


def _against(mine: dict[int, Period], retrain: dict[int, Period]) -> dict[str, float]:
    """Share of a retrain's cost and gain in recall over it, on the periods measured of both.

    The first period is left out: nothing is learnt before it, and all begin alike.
    """
    both = [at for at in mine if at in retrain and at > 0]
    if not both:
        return {}
    cost = sum(mine[at].train_s for at in both) / sum(retrain[at].train_s for at in both)
    gain = sum(mine[at].recall20 - retrain[at].recall20 for at in both) / len(both)
    return {"cost_vs_retrain": round(cost, 4), "recall20_over_retrain": round(gain, 2)}


if __name__ == "__main__":
    main()
