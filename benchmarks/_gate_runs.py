"""Runs of the trainer's loop for the gate's benchmark: over any windows, from any version on."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import torch

from benchmarks._poison import slices
from everfresh.adapters.memory import MemoryReportSink, MemoryWeightStore, MemoryWindowSource
from everfresh.contracts.report import WindowReport
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import TrainingWindow
from everfresh.trainer.loop import ROLL_BACK, TrainerLoop

Harm = Callable[[TrainerLoop, str], None]


class Poisoned(NamedTuple):
    """One window poisoned: ``held`` is the gate's reason, empty where it was let through.

    HR@10 on it of the live model and of popularity, then on the windows after it less that of the
    undisturbed run; and whether a rollback came of it.
    """

    kind: str
    window: int
    held: str
    live: float
    popularity: float
    harm: list[float]
    rolled_back: bool


class Noise(NamedTuple):
    """One candidate replaced by noise: window -> HR@10 before the rollback, and from it on.

    ``decided`` is the window on which the trial was lost, ``None`` where it never was.
    """

    window: int
    served: dict[int, float]
    after: dict[int, float]
    decided: int | None


class Bench:
    """Loops over one list of windows and one store."""

    def __init__(self, settings: Settings, windows: Sequence[TrainingWindow]) -> None:
        self.settings = settings
        self.windows = windows
        self.store = MemoryWeightStore()
        self.reports = MemoryReportSink()

    def copy(self, windows: Sequence[TrainingWindow]) -> Bench:
        """The same versions, before other windows."""
        other = Bench(self.settings, windows)
        other.store = copy.deepcopy(self.store)
        return other

    def run(self, steps: int, harm: Harm = lambda loop, step: None) -> TrainerLoop:
        """A new trainer, for so many steps; ``harm`` is asked before each of their parts."""
        source = MemoryWindowSource({0: slices(self.windows)})
        ticks = itertools.count()
        made: list[TrainerLoop] = []
        loop = TrainerLoop(
            self.settings,
            source,
            self.store,
            self.reports,
            lambda: next(ticks),
            lambda step: harm(made[0], step) if made else None,
        )
        made.append(loop)
        for _ in range(steps):
            loop.step(0)
        return loop

    @property
    def epoch(self) -> int:
        """The pointer's: one more with each rollback."""
        pointer = self.store.pointer()
        return pointer.epoch if pointer else 1

    def told(self) -> list[WindowReport]:
        """Reports in order, without those that a new trainer writes again."""
        return [one for one in self.reports.windows if one.seconds or one.held]


def hit_rate(report: WindowReport, contender: str = "live") -> float:
    """HR@10 on the report's window."""
    return report.scores.get(contender, {}).get("hr10", 0.0)


def hit_rates(reports: Sequence[WindowReport]) -> dict[int, float]:
    """Window -> HR@10; of the last report on it."""
    return {one.label: hit_rate(one) for one in reports}


def run_poisoned(
    kind: str, bench: Bench, at: int, usual: dict[int, float], follow: int
) -> Poisoned:
    """``bench`` stands before window ``at``, poisoned; ``follow`` more windows are learnt."""
    bench.run(1 + follow)
    found, *after = bench.told()
    later = hit_rates(after)
    return Poisoned(
        kind,
        at,
        found.held,
        hit_rate(found),
        hit_rate(found, "popularity"),
        [value - usual[label] for label, value in later.items()],
        bench.epoch > 1,
    )


def run_noise(bench: Bench, at: int, steps: int) -> Noise:
    """Noise in place of the candidate of ``at``; the gate before publishing has no targets."""
    gate = bench.settings.gate.model_copy(update={"share": 0.0})
    bench.settings = bench.settings.model_copy(update={"gate": gate})
    spoiler = _Spoiler()
    bench.run(steps, spoiler)
    told = bench.told()
    left = next((place for place, one in enumerate(told) if one.left), len(told))
    return Noise(at, hit_rates(told[:left]), hit_rates(told[left:]), spoiler.decided)


def spoil(loop: TrainerLoop) -> None:
    """Give the loop's candidate weights of noise, each of the norm it had."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in loop.learner.network.recommender.parameters():
            if weight.dim() > 1:
                norm = weight.norm()
                weight.normal_(generator=generator)
                weight.mul_(norm / weight.norm())


class _Spoiler:
    """Replaces the first candidate's weights by noise of the same norm, before it is checked."""

    def __init__(self) -> None:
        self._done = False
        self.decided: int | None = None

    def __call__(self, loop: TrainerLoop, step: str) -> None:
        if step == ROLL_BACK and self.decided is None:
            self.decided = (loop.progress.label or 0) + 1
        if step == "score" and not self._done:
            loop.learner.gate = msgspec.structs.replace(loop.learner.gate, held=[])
        if step != "check" or self._done:
            return
        self._done = True
        spoil(loop)
