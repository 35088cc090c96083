"""Runs of the trainer's loop for ``gate``: over any windows, from any version on."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import torch

from benchmarks.synthetic.window_records import window_records
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


class LoopRuns:
    """Loops over one list of windows and one store."""

    def __init__(self, settings: Settings, windows: Sequence[TrainingWindow]) -> None:
        self.settings = settings
        self.windows = windows
        self.store = MemoryWeightStore()
        self.reports = MemoryReportSink()

    def copy(self, windows: Sequence[TrainingWindow]) -> LoopRuns:
        """The same versions, before other windows."""
        other = LoopRuns(self.settings, windows)
        other.store = copy.deepcopy(self.store)
        return other

    def run(self, steps: int, harm: Harm = lambda loop, step: None) -> TrainerLoop:
        """A new trainer, for so many steps; ``harm`` is asked before each of their parts."""
        source = MemoryWindowSource({0: window_records(self.windows)})
        ticks = itertools.count()
        started: list[TrainerLoop] = []
        loop = TrainerLoop(
            self.settings,
            source,
            self.store,
            self.reports,
            lambda: next(ticks),
            lambda step: harm(started[0], step) if started else None,
        )
        started.append(loop)
        for _ in range(steps):
            loop.step(0)
        return loop

    @property
    def epoch(self) -> int:
        """The pointer's: one more with each rollback."""
        pointer = self.store.pointer()
        return pointer.epoch if pointer else 1

    def first_reports(self) -> list[WindowReport]:
        """Reports in order, without those that a new trainer writes again."""
        return [report for report in self.reports.windows if report.seconds or report.held]


def hit_rate(report: WindowReport, contender: str = "live") -> float:
    """HR@10 on the report's window."""
    return report.scores.get(contender, {}).get("hr10", 0.0)


def hit_rates(reports: Sequence[WindowReport]) -> dict[int, float]:
    """Window -> HR@10; of the last report on it."""
    return {report.label: hit_rate(report) for report in reports}


def run_poisoned(
    kind: str, runs: LoopRuns, at: int, usual: dict[int, float], follow: int
) -> Poisoned:
    """``runs`` stand before window ``at``, poisoned; ``follow`` more windows are learnt."""
    runs.run(1 + follow)
    report, *after = runs.first_reports()
    later = hit_rates(after)
    return Poisoned(
        kind,
        at,
        report.held,
        hit_rate(report),
        hit_rate(report, "popularity"),
        [value - usual[label] for label, value in later.items()],
        runs.epoch > 1,
    )


def run_noise(runs: LoopRuns, at: int, steps: int) -> Noise:
    """Noise in place of the candidate of ``at``; the gate before publishing has no targets."""
    gate = runs.settings.gate.model_copy(update={"share": 0.0})
    runs.settings = runs.settings.model_copy(update={"gate": gate})
    spoiler = _Spoiler()
    runs.run(steps, spoiler)
    reports = runs.first_reports()
    back = next((place for place, report in enumerate(reports) if report.left), len(reports))
    return Noise(at, hit_rates(reports[:back]), hit_rates(reports[back:]), spoiler.decided)


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
