"""Law 5: killed anywhere and restarted, the trainer reaches the versions it would have reached."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate.runs import spoil
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.settings import load_settings
from everfresh.model.recommender import VOCABULARY_FILE
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.trainer.loop import HOLD, ROLL_BACK, TrainerLoop
from tests.trainer.bench import STEPS, Bench
from tests.trainer.logs import make_log
from tests.trainer.small_settings import SMALL

LABELS = [3, 4, 6, 7, 9]
GATED = list(range(3, 11))
POISONED, SPOILT = 5, 8


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


Blow = Callable[[TrainerLoop | None, str], None]


class Run:
    """One bench, a cause of harm that strikes every time alike, and one that kills."""

    def __init__(self, bench: Bench, harm: Blow, kill: Blow) -> None:
        self.bench = bench
        self.steps: list[str] = []
        self._blows = (harm, kill)
        self._loop: TrainerLoop | None = None

    def once(self) -> None:
        """Start and go on to the end of the log, or to the kill."""
        self._loop = None
        self._loop = self.bench.start(self._boundary)
        for _ in range(2 * len(GATED)):
            self._loop.step(0)

    def to_the_end(self) -> int:
        """Start again after every kill; how many there were."""
        for kills in range(1_000):
            try:
                self.once()
                return kills
            except Killed:
                pass
        raise AssertionError("killed a thousand times and still not at the end")

    def _boundary(self, step: str) -> None:
        self.steps.append(step)
        for blow in self._blows:
            blow(self._loop, step)


def nothing(loop: TrainerLoop | None, step: str) -> None:
    """No harm, no kill."""


def at_every_step_once() -> Blow:
    """Kill right before each step of each window, the first time it is reached."""
    before: set[tuple[Any, ...]] = set()

    def kill(loop: TrainerLoop | None, step: str) -> None:
        if loop is None:
            return
        place = (loop.progress.label, loop.figures.version, step)
        if place not in before:
            before.add(place)
            raise Killed(step)

    return kill


def now_and_then(seed: int) -> Blow:
    """Kill at one boundary in twelve."""
    rng = random.Random(seed)

    def kill(loop: TrainerLoop | None, step: str) -> None:
        if rng.random() < 1 / 12:
            raise Killed(step)

    return kill


def spoil_one(loop: TrainerLoop | None, step: str) -> None:
    """The candidate of one window is noise, which too little was held out to show."""
    if loop is not None and step == "check" and loop.progress.label == SPOILT:
        spoil(loop)


def plain(home: Path) -> Bench:
    return Bench(make_log(2, LABELS), load_settings({"home": str(home), **SMALL}))


def forgetful(home: Path) -> Bench:
    """Items get a row at their second sighting and lose it after two labels without one."""
    settings = load_settings(
        {
            "home": str(home),
            "trainer": {**SMALL["trainer"], "expire_after_s": 3.0},
            "model": {**SMALL["model"], "admit_after": 2},
            "windows": {"seconds": 2.0},
        }
    )
    return Bench(make_log(2, LABELS, items=20), settings)


def gated(home: Path) -> Bench:
    """One window is poisoned, and one candidate will fail its probation."""

    def distort(label: int, items: list[int]) -> list[int]:
        return [5] * len(items) if label == POISONED else items

    gate = {"trial_windows": 1, "confidence": 2.0, "share": 0.02}
    settings = load_settings({"home": str(home), **SMALL, "gate": gate})
    return Bench(make_log(2, GATED, users=30, distort=distort), settings)


def short(home: Path) -> Bench:
    """Replicas read other rows than training goes on from."""
    settings = load_settings({"home": str(home), **SMALL, "weights": {"rows": "int8"}})
    return Bench(make_log(2, LABELS), settings)


def indexed(home: Path) -> Bench:
    """Versions have lists of rows, which are begun anew as items come."""
    weights = {"rows": "int8", "index_from": 8}
    settings = load_settings({"home": str(home), **SMALL, "weights": weights})
    return Bench(make_log(2, LABELS), settings)


CASES: dict[str, tuple[Callable[[Path], Bench], Blow]] = {
    "plain": (plain, nothing),
    "forgetful": (forgetful, nothing),
    "gated": (gated, spoil_one),
    "short": (short, nothing),
    "indexed": (indexed, nothing),
}


@pytest.mark.parametrize("case", CASES)
def test_killed_at_every_step_and_restarted_it_reaches_the_same_versions(
    case: str, tmp_path: Path
) -> None:
    make, harm = CASES[case]
    undisturbed = Run(make(tmp_path), harm, nothing)
    undisturbed.once()
    killed = Run(make(tmp_path), harm, at_every_step_once())
    kills = killed.to_the_end()
    assert kills >= sum(step != "read" for step in undisturbed.steps)
    assert killed.bench.versions() == undisturbed.bench.versions()
    assert killed.bench.store.pointer() == undisturbed.bench.store.pointer()
    assert [rejected.reason for rejected in killed.bench.store.rejected()] == [
        rejected.reason for rejected in undisturbed.bench.store.rejected()
    ]
    told = {report.label for report in undisturbed.bench.reports.windows}
    assert {report.label for report in killed.bench.reports.windows} == told


def test_killed_at_random_it_reaches_the_same_versions(tmp_path: Path) -> None:
    undisturbed = Run(gated(tmp_path), spoil_one, nothing)
    undisturbed.once()
    killed = Run(gated(tmp_path), spoil_one, now_and_then(5))
    assert killed.to_the_end() > 3
    assert killed.bench.versions() == undisturbed.bench.versions()
    assert killed.bench.store.pointer() == undisturbed.bench.store.pointer()


def test_the_steps_are_taken_in_the_order_of_the_table(tmp_path: Path) -> None:
    run = Run(plain(tmp_path), nothing, nothing)
    run.once()
    assert run.steps[: len(STEPS)] == list(STEPS)
    assert [step for step in run.steps if step != "read"] == list(STEPS[1:]) * len(LABELS)


def test_the_cases_hold_roll_back_and_recycle(tmp_path: Path) -> None:
    run = Run(gated(tmp_path), spoil_one, nothing)
    run.once()
    assert run.steps.count(HOLD) == run.steps.count(ROLL_BACK) == 1
    assert run.bench.store.pointer() == Pointer(2, len(GATED) - 1)
    assert recycled_rows(plain(tmp_path)) == 0
    assert recycled_rows(forgetful(tmp_path)) > 2


def recycled_rows(bench: Bench) -> int:
    """How often a row has passed from one item to another, over all versions."""
    bench.run()
    held: dict[int, int | str] = {}
    passed = 0
    for manifest in map(bench.store.manifest, bench.store.versions()):
        vocabulary = Vocabulary.decode(bench.store.read(manifest, VOCABULARY_FILE))
        for row in vocabulary.item_rows().tolist():
            passed += held.get(row, vocabulary.item(row)) != vocabulary.item(row)
            held[row] = vocabulary.item(row)
    return passed
