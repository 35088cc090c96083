"""A window's figures, for its report and for the checkpoint of the version that came of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from everfresh.contracts.report import QUANTILES
from everfresh.contracts.window import TrainingWindow
from everfresh.trainer.scoring.target_groups import FIRST, FRESH, OLDER, SECOND, Groups


class WindowSummary(msgspec.Struct, frozen=True):
    """What a report says of its window, kept so that a lost report can be written again.

    ``first``, ``second``, ``fresh`` and ``older`` count targets of these groups. ``refused``
    counts refusals, which ``events`` does not. ``measures`` are those of
    ``trainer.scoring.window_measures``. ``ranked`` is how many of ``events`` the scores are means
    over, 0 for all.
    """

    label: int
    events: int
    users: int
    appended: list[int]
    fresh: int = 0
    merged: list[int] = []
    sampled: float = 1.0
    first: int = 0
    second: int = 0
    older: int = 0
    cut: int = 0
    refused: int = 0
    measures: dict[str, float] = {}
    ranked: int = 0


def summarize(
    window: TrainingWindow,
    groups: Groups | None = None,
    labels: Sequence[int] = (),
    share: float = 1.0,
) -> WindowSummary:
    """A window's figures; percentiles of append times are times that events really had.

    ``labels`` are of the windows joined in it, ``share`` of its examples is trained.
    """
    times = np.array([time for example in window.examples for time in example.appended], np.int64)
    marks = np.percentile(times, np.linspace(0, 100, QUANTILES), method="lower")
    users = len({example.user for example in window.examples})
    appended = [int(mark) for mark in marks]
    merged = list(labels) if len(labels) > 1 else []
    refused = sum(len(each.targets) - each.taught for each in window.examples)
    counts = {name: int(mask.sum()) for name, mask in (groups or {}).items()}
    return WindowSummary(
        window.label,
        window.events - refused,
        users,
        appended,
        counts.get(FRESH, 0),
        merged,
        share,
        counts.get(FIRST, 0),
        counts.get(SECOND, 0),
        counts.get(OLDER, 0),
        window.cut,
        refused,
    )
