"""Probation: what was published, against what its parent would have served instead.

Every version is on probation against its parent. On each of the next ``trial_windows`` windows,
before it is trained on, the parent ranks the targets that the live model ranks (test, then train:
law 4), on a sample of whole examples. If in all what was live lost more than ``tolerance`` of the
parent's gain, by ``confidence`` standard errors, the trainer rolls back (law 8): to the newest
parent that is ahead so far. While that is to be feared, windows are held: nothing good comes of a
bad version, and what is held is read again after the rollback.
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
from everfresh.trainer.scoring.paired import Paired, pair
from everfresh.trainer.scoring.prequential import Contender

_TARGETS = 512
"""Targets of a window that probations compare; more would cost time and tell little more."""
_PURPOSE = 8


class Probation(msgspec.Struct, frozen=True):
    """``parent`` is the version that would serve, had nothing been published since.

    ``compared`` is what live lost against it in all, over so many ``windows``.
    """

    parent: int
    windows: int = 0
    compared: Paired = Paired()


def observed(
    probations: Sequence[Probation],
    parents: Mapping[int, Contender],
    window: TrainingWindow,
    live: Ranks,
    exclude_seen: bool,
    seed: int,
) -> list[Probation]:
    """The probations after one more window; ``live`` are the live model's ranks of its targets.

    One whose parent is not at hand any more is dropped.
    """
    if not probations:
        return []
    examples, ranks = _sample(window, live, seed)
    return [
        Probation(
            probation.parent,
            probation.windows + 1,
            probation.compared
            + pair(ranks, parents[probation.parent].ranks(examples, exclude_seen), examples),
        )
        for probation in probations
        if probation.parent in parents
    ]


def failing(probations: Sequence[Probation], settings: GateSettings) -> list[Probation]:
    """Those whose parent is ahead so far: what serves is worse, and nothing should come of it."""
    return [
        probation
        for probation in probations
        if probation.compared.worse(settings.tolerance, settings.confidence)
    ]


def failed(probations: Sequence[Probation], settings: GateSettings) -> Probation | None:
    """The probation to whose parent the trainer should go back, once one that is over was failed.

    That is the newest that is being failed: while a bad version serves, parents older than its own
    are ahead as well, and know less.
    """
    behind = failing(probations, settings)
    over = any(probation.windows >= settings.trial_windows for probation in behind)
    return behind[-1] if over else None


def continued(
    probations: Sequence[Probation], parent: int | None, settings: GateSettings
) -> list[Probation]:
    """Those that are not over, and that against ``parent``, of which a version has now come."""
    rest = [probation for probation in probations if probation.windows < settings.trial_windows]
    if parent is None or not settings.trial_windows:
        return rest
    return [*rest, Probation(parent)]


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
