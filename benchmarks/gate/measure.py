"""The three parts of ``gate``: usual windows, poisoned windows, versions of noise."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.gate.poison import POISONS, poisoned
from benchmarks.gate.runs import LoopRuns, Noise, Poisoned, hit_rates, run_noise, run_poisoned
from everfresh.adapters.files.datasets import event_check, fetch_ml100k
from everfresh.adapters.files.opening import open_events
from everfresh.adapters.files.tables.mapping import Reading
from everfresh.contracts.report import WindowReport
from everfresh.contracts.settings import EventSettings, load_settings
from everfresh.contracts.window import TrainingWindow
from everfresh.evaluation.file_windows import by_count, cut_windows

EVENTS = 2_500
FOLLOW = 4
"""Windows that are learnt after a poisoned one; a trial takes three."""
NOISE_STEPS = 9
_LENGTH = 200


class Results(msgspec.Struct):
    """What all parts measured; ``poisoned`` and ``noise`` are empty where they were not asked for.

    ``hit_rates`` are those of the undisturbed run, by window.
    """

    windows: int
    usual_held: Sequence[WindowReport]
    usual_rolled_back: int
    hit_rates: dict[int, float]
    poisoned: list[Poisoned]
    noise: list[Noise]


def read_windows(
    format_name: str, data: Path | None, limit: int | None, events_each: int
) -> list[TrainingWindow]:
    """A file's events, cut into windows of ``events_each``."""
    path, check = data or fetch_ml100k(), event_check(EventSettings())
    file = open_events(path, Reading(format_name), check).events
    number = min(len(file), limit or len(file))
    events = itertools.islice(file, number)
    return list(cut_windows(events, by_count(number, -(-number // events_each), 0.0), _LENGTH))


def measure(windows: Sequence[TrainingWindow], *, quick: bool, usual_only: bool) -> Results:
    """The undisturbed run, and from its versions on the runs with poison and with noise."""
    places = [8] if quick else list(range(4, len(windows) - FOLLOW, 4))
    places = [] if usual_only else places
    usual = LoopRuns(load_settings({"home": ".", "weights": {"keep": 1000}}), windows)
    before: dict[int, LoopRuns] = {}
    for at, following in itertools.pairwise([0, *places, len(windows)]):
        before[at] = usual.copy(windows)
        loop = usual.run(following - at)
        print(f"before window {following}: version {loop.figures.version}", flush=True)
    del before[0]
    reports = usual.first_reports()
    undisturbed = hit_rates(reports[1:])
    return Results(
        windows=len(windows),
        usual_held=[report for report in reports if report.held],
        usual_rolled_back=usual.epoch - 1,
        hit_rates=undisturbed,
        poisoned=_poison(before, undisturbed),
        noise=_noise(before, places[1::2] or places),
    )


def _poison(before: Mapping[int, LoopRuns], usual: dict[int, float]) -> list[Poisoned]:
    results = []
    for (kind, poison), (at, runs) in itertools.product(POISONS.items(), before.items()):
        changed = list(runs.windows)
        changed[at] = poisoned(changed[at], poison, at)
        results.append(run_poisoned(kind, runs.copy(changed), at, usual, FOLLOW))
    return results


def _noise(before: Mapping[int, LoopRuns], places: Sequence[int]) -> list[Noise]:
    return [run_noise(before[at].copy(before[at].windows), at, NOISE_STEPS) for at in places]
