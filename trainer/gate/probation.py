"""The gate in retrospect: what was published, against what its parent would have served instead.

Every version opens a trial of its parent. On each of the next ``trial_windows`` windows, before it
is trained on, the parent ranks the targets that the live model ranks (test, then train: law 4), on
a sample of whole examples. If in all what was live lost more than ``tolerance`` of the parent's
gain, by ``confidence`` standard errors, the trainer rolls back (law 8): to the newest parent that
wins its trial so far.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from everfresh.contracts.settings import GateSettings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.metrics import Ranks
from everfresh.model.network.batches import derive_seed
from everfresh.model.recommender import Recommender
from everfresh.trainer.gate.paired import Paired, pair

_TARGETS = 512
"""Targets of a window on which trials are held; more would cost time and tell little more."""
_PURPOSE = 8


class Trial(msgspec.Struct, frozen=True):
    """``parent`` is the version that would serve, had nothing been published since."""

    parent: int
    windows: int = 0
    compared: Paired = Paired()


def hear(
    trials: Sequence[Trial],
    parents: Mapping[int, Recommender],
    window: TrainingWindow,
    live: Ranks,
    exclude_seen: bool,
    seed: int,
) -> list[Trial]:
    """The trials after one more window; ``live`` are the live model's ranks of all its targets.

    A trial whose parent is not at hand any more is dropped.
    """
    if not trials:
        return []
    examples, ranks = _sample(window, live, seed)
    return [
        Trial(
            trial.parent,
            trial.windows + 1,
            trial.compared
            + pair(ranks, parents[trial.parent].ranks(examples, exclude_seen), examples),
        )
        for trial in trials
        if trial.parent in parents
    ]


def lost(trials: Sequence[Trial], settings: GateSettings) -> Trial | None:
    """The trial to whose parent the trainer should go back, once one that is over was lost.

    That is the newest that its parent has won so far: while a bad version serves, parents older
    than its own win as well, and know less.
    """
    won = [one for one in trials if one.compared.worse(settings.tolerance, settings.confidence)]
    over = any(one.windows >= settings.trial_windows for one in won)
    return won[-1] if over else None


def going_on(trials: Sequence[Trial], parent: int | None, settings: GateSettings) -> list[Trial]:
    """Trials that are not over, and that of ``parent``, of which a version has now come."""
    rest = [trial for trial in trials if trial.windows < settings.trial_windows]
    if parent is None or not settings.trial_windows:
        return rest
    return [*rest, Trial(parent)]


def _sample(window: TrainingWindow, live: Ranks, seed: int) -> tuple[list[DecodedExample], Ranks]:
    starts = np.cumsum([0, *(len(example.targets) for example in window.examples)])
    order = list(range(len(window.examples)))
    random.Random(derive_seed(seed, window.label, _PURPOSE)).shuffle(order)
    chosen: list[int] = []
    left = _TARGETS
    for at in order:
        if left <= 0:
            break
        chosen.append(at)
        left -= len(window.examples[at].targets)
    chosen.sort()
    ranks = [live[starts[at] : starts[at + 1]] for at in chosen]
    return [window.examples[at] for at in chosen], np.concatenate(ranks)
