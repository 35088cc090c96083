"""The gate on MovieLens 100K: do usual windows pass, is poison held, is a bad version rolled back?

    python -m benchmarks.gate [--quick] [--json FILE] [--data PATH]

The product's own loop over the file in windows of 2,500 events, with the default settings, the
stores in memory. Three parts:

1. usual     every window as it is: how many are held or rolled back (none should be)
2. poison    at several windows, each kind of poison in place of it: is it held?
3. rollback  one candidate is replaced by noise behind the gate's back: after how many windows is
             its parent live again, and what did the hit rate do meanwhile?
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import torch

from benchmarks._harness import finish, parse_options, show
from benchmarks._poison import POISONS, poisoned, slices
from contracts.report import WindowReport
from contracts.settings import Settings, load_settings
from contracts.window import TrainingWindow
from infra.datasets import DATASETS, fetch_ml100k
from infra.memory import MemoryReportSink, MemoryWeightStore, MemoryWindowSource
from trainer.loop import TrainerLoop
from trainer.offline import by_count, cut_windows

EVENTS = 2_500
Harm = Callable[[TrainerLoop, str], None]


class Bench:
    """Loops over one list of windows and one store; ``at`` is the window that comes next."""

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


def main(argv: Sequence[str] | None = None) -> None:
    """Run all three parts, print tables and the flat JSON."""
    options = parse_options(__doc__ or "", argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    settings = load_settings({"home": ".", "weights": {"keep": 1000}})
    file = DATASETS["ml-100k"](options.data or fetch_ml100k())
    windows = list(cut_windows(file, by_count(len(file), -(-len(file) // EVENTS), 0.0), 200))
    windows = windows[:12] if options.quick else windows
    places = [8] if options.quick else [8, 16, 24, 32]
    usual, before = Bench(settings, windows), {}
    loop = None
    for at in range(len(windows)):
        if at in places:
            before[at] = usual.copy(windows)
        loop = usual.run(1)
        print(f"window {at}: version {loop.figures.version}", flush=True)
    figures: dict[str, Any] = {
        "windows": len(windows),
        "usual_held": len(usual.store.rejected()),
        "usual_rolled_back": _epoch(usual) - 1,
        **_poison(before, windows),
        **_rollback(before[places[0]], usual, places[0]),
    }
    finish(figures, began, options.json)


def _epoch(bench: Bench) -> int:
    pointer = bench.store.pointer()
    return pointer.epoch if pointer else 1


def _poison(before: dict[int, Bench], windows: Sequence[TrainingWindow]) -> dict[str, Any]:
    rows, figures = [], {}
    for name, poison in POISONS.items():
        held = 0
        for at, bench in before.items():
            changed = [*windows[:at], poisoned(windows[at], poison, at), *windows[at + 1 :]]
            other = bench.copy(changed)
            other.run(1)
            found = other.store.rejected()
            held += bool(found)
            rows.append((name, at, found[-1].reason if found else "published"))
        figures[f"{name.replace(' ', '_')}_held"] = held
        figures["poisoned_each"] = len(before)
    show("a poisoned window in place of a usual one", ("poison", "window", "gate"), rows)
    return figures


def _rollback(bench: Bench, usual: Bench, at: int) -> dict[str, Any]:
    """Noise in place of one candidate; the gate before publishing has nothing to measure on."""
    gate = bench.settings.gate.model_copy(update={"share": 0.0})
    bench.settings = bench.settings.model_copy(update={"gate": gate})
    bench.run(7, _Spoiler())
    epoch = _epoch(bench)
    told = [one for one in bench.reports.windows if one.seconds or one.held]
    undisturbed = {one.label: one for one in usual.reports.windows if one.seconds}
    rows = [
        (one.label, one.scored_version, _hit_rate(one), _hit_rate(undisturbed[one.label]))
        for one in told
    ]
    show(
        f"candidate of window {at} replaced by noise; pointer epoch {epoch} at the end",
        ("window", "scored version", "HR@10", "HR@10 undisturbed"),
        [(label, version, f"{ours:.4f}", f"{theirs:.4f}") for label, version, ours, theirs in rows],
    )
    back = next((one for one in told if one.left), None)
    return {
        "rolled_back": epoch - 1,
        "windows_until_rollback": back.label - at if back else None,
        "hr10_before": rows[0][2],
        "hr10_lowest": min((row[2] for row in rows[1:]), default=None),
        "hr10_after": _hit_rate(back) if back else None,
    }


def _hit_rate(report: WindowReport) -> float:
    return report.scores["live"]["hr10"]


class _Spoiler:
    """Replaces the first candidate's weights by noise of the same norm, before it is checked."""

    def __init__(self) -> None:
        self._done = False

    def __call__(self, loop: TrainerLoop, step: str) -> None:
        if step == "score" and not self._done:
            loop.learner.gate = msgspec.structs.replace(loop.learner.gate, held=[])
        if step != "check" or self._done:
            return
        self._done = True
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in loop.learner.network.recommender.parameters():
                if weight.dim() > 1:
                    norm = weight.norm()
                    weight.normal_(generator=generator)
                    weight.mul_(norm / weight.norm())


if __name__ == "__main__":
    main()
