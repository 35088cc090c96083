"""Probation: what was published, against what its parent would have served instead.

Every version is on probation against its parent. On each of the next ``trial_windows`` windows,
before it is trained on, the parent ranks the targets that the live model ranks (test, then train:
law 4). If in all what was live lost more than ``tolerance`` of the
parent's gain, by ``confidence`` standard errors, the trainer rolls back (law 8): to the newest
parent that is ahead so far. While that is to be feared, windows are held: nothing good comes of a
bad version, and what is held is read again after the rollback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from everfresh.contracts.settings import GateSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import Ranks
from everfresh.trainer.scoring.paired import Paired, pair
from everfresh.trainer.scoring.prequential import Contender


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
    examples: Sequence[DecodedExample],
    live: Ranks,
    exclude_seen: bool,
) -> list[Probation]:
    """The probations after one more window; ``live`` are the live model's ranks of the targets of
    its ``examples``, those that are judged.

    One whose parent is not at hand any more is dropped.
    """
    return [
        Probation(
            probation.parent,
            probation.windows + 1,
            probation.compared
            + pair(live, parents[probation.parent].ranks(examples, exclude_seen), examples),
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
