"""Behind the stream: what is trained next where more complete windows wait than may.

By ``trainer.backlog``: ``every`` window by itself, however many wait; ``merge`` trains all that
wait as one; ``sample`` trains each by itself on a share of its examples. Nothing is skipped
silently: every window is scored and counted, and manifest and report name what was merged or
sampled.

How many wait depends on how fast this trainer is, which no log tells. So every decision is written
down before it is followed, and a restart follows all since its manifest again (law 5): killed
anywhere, the trainer reaches the same version from the windows it had taken. Leading windows
without events are taken one by one; no plan speaks of them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from everfresh.contracts.experiments.track import Audience
from everfresh.contracts.manifest import Plan
from everfresh.contracts.ports import TrainerStore
from everfresh.contracts.settings import TrainerSettings
from everfresh.contracts.window import DecodedExample, Place, TrainingWindow
from everfresh.model.network.batches import derive_seed
from everfresh.trainer.windows.assemble import Assembler

_LEAST_SHARE = 0.05
_PURPOSE = 9


class PlannedWindow(msgspec.Struct, frozen=True):
    """What is trained next: ``labels`` are of the windows joined in it, ``share`` is trained."""

    window: TrainingWindow
    labels: list[int]
    share: float = 1.0


class Backlog:
    """Takes from the assembler by the setting."""

    def __init__(
        self, assembler: Assembler, store: TrainerStore, settings: TrainerSettings
    ) -> None:
        self._assembler = assembler
        self._store = store
        self._settings = settings
        self._plans = {(plan.version, plan.after_place): plan for plan in store.planned()}

    def take(self, version: int, place: Place | None) -> PlannedWindow | None:
        """The next windows of a trainer at ``version`` that has consumed up to ``place``.

        ``None`` where none is complete, or not yet all that were planned.
        """
        waiting = self._assembler.complete()
        if not waiting:
            return None
        # What has no events is not trained: it needs no plan, however long the stream is idle.
        if self._settings.backlog == "every" or not self._assembler.events(waiting[0]):
            return self._take(1, 1.0)
        plan = self._plans.get((version, place)) or self._decide(version, place, waiting)
        last = (plan.last, plan.last_cut)
        if last not in waiting:
            return None
        return self._take(waiting.index(last) + 1, plan.share)

    def _decide(self, version: int, place: Place | None, waiting: Sequence[Place]) -> Plan:
        """And write it down."""
        limit = self._settings.backlog_windows
        last, share = waiting[0], 1.0
        if len(waiting) > limit and self._settings.backlog == "merge":
            last = waiting[-1]
        elif len(waiting) > limit:
            share = max(_LEAST_SHARE, limit / len(waiting))
        label, cut = (None, 0) if place is None else place
        plan = Plan(version, label, last[0], share, cut, last[1])
        self._store.plan(plan)
        return plan

    def _take(self, number: int, share: float) -> PlannedWindow:
        windows = [window for _ in range(number) if (window := self._assembler.take())]
        return PlannedWindow(join_windows(windows), [window.label for window in windows], share)


def join_windows(windows: Sequence[TrainingWindow]) -> TrainingWindow:
    """Consecutive windows as one, under the label of the last (law 3: ranges meet exactly)."""
    if len(windows) == 1:
        return windows[0]
    ranges: dict[int, tuple[int, int]] = {}
    reads: dict[int, int] = {}
    for window in windows:
        for partition, (start, end) in window.ranges.items():
            ranges[partition] = (ranges.get(partition, (start, end))[0], end)
        reads |= window.next_read
    return TrainingWindow(
        label=windows[-1].label,
        cut=windows[-1].cut,
        ranges=ranges,
        examples=[example for window in windows for example in window.examples],
        next_read=reads,
        rejected=sum(window.rejected for window in windows),
    )


def sampled_examples(planned: PlannedWindow, seed: int) -> list[DecodedExample]:
    """The examples to train: all, or the share of them that chance and the window's label pick."""
    if planned.share >= 1.0:
        return planned.window.examples
    rng = random.Random(derive_seed(seed, planned.window.label, _PURPOSE))
    return [example for example in planned.window.examples if rng.random() < planned.share]


def diverted_examples(
    examples: list[DecodedExample], audience: Audience | None
) -> tuple[list[DecodedExample], int]:
    """The examples of the track's own users, and how many targets are left to others.

    Without an audience the data is shared: all are its own.
    """
    if audience is None:
        return examples, 0
    own = [example for example in examples if audience.holds(example.user)]
    targets, kept = (sum(each.taught for each in some) for some in (examples, own))
    return own, targets - kept
