"""Rollbacks, by a failed probation and by an operator, and how a trainer goes on after them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from benchmarks.gate.runs import spoil
from everfresh.adapters.weights.rollback import roll_back
from everfresh.contracts.errors import VersionNotFound, WeightsError
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.settings import Settings, load_settings
from everfresh.model.opponents.opponent_file import encode_opponents
from everfresh.trainer.loop import ROLL_BACK, TrainerLoop
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log
from tests.trainer.small_settings import SMALL

LABELS = list(range(3, 11))


def tuned(settings: Settings, **gate: Any) -> Settings:
    return load_settings({"home": str(settings.home), **SMALL, "gate": gate})


def test_a_version_that_turns_out_worse_than_its_parent_is_rolled_back(
    small_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = tuned(small_settings, trial_windows=1, confidence=2.0)
    bench = Bench(make_log(2, LABELS, users=30), settings)
    loop: TrainerLoop | None = None

    def hit(step: str) -> None:
        if loop is not None and step == "check" and loop.progress.label == 7:
            spoil(loop)

    loop = bench.start(hit)
    with caplog.at_level(logging.WARNING, "everfresh.trainer"):
        for _ in range(2 * len(LABELS)):
            loop.step(0)
    lineage = {
        version: (manifest.parent, manifest.label, manifest.left)
        for version in bench.store.versions()
        if (manifest := bench.store.manifest(version)).version > 4
    }
    # Version 6, trained on window 8, failed on window 9, which version 5 then learnt from.
    assert lineage == {5: (4, 7, 0), 6: (5, 8, 0), 7: (5, 9, 6), 8: (7, 10, 0)}
    assert bench.store.pointer() == Pointer(2, 8)
    assert (loop.figures.rolled_back, loop.figures.alarms) == (1, 1)
    assert "rolled back from version 6 to 5" in caplog.text
    assert [report.left for report in bench.reports.windows if report.label == 9] == [6]


def test_windows_wait_while_a_version_may_be_rolled_back(small_settings: Settings) -> None:
    """They are not learnt by what is bad, and so not lost with it."""
    settings = tuned(small_settings, trial_windows=2, confidence=4.0)
    bench = Bench(make_log(2, LABELS, users=30), settings)
    loop: TrainerLoop | None = None

    def hit(step: str) -> None:
        if loop is not None and step == "check" and loop.progress.label == 7:
            spoil(loop)

    loop = bench.start(hit)
    for _ in range(3 * len(LABELS)):
        loop.step(0)
    held = [(report.label, report.held) for report in bench.reports.windows if report.held]
    assert [label for label, _ in held] == [9]
    assert held[0][1].startswith("version 6 may be rolled back: version 5 would have gained ")
    made = [bench.store.manifest(version) for version in bench.store.versions()[-3:]]
    assert [(each.parent, each.label) for each in made] == [(5, 8), (5, 9), (7, 10)]
    assert loop.figures.rolled_back == 1


def test_an_operators_rollback_is_gone_on_from_and_never_undone(small_settings: Settings) -> None:
    bench = Bench(make_log(2, LABELS), small_settings)
    loop = bench.start()
    for _ in range(4):
        loop.step(0)
    counted = encode_opponents(loop.learner.opponents)
    assert roll_back(bench.store, 2) == Pointer(2, 2, 4)
    assert loop.step(0) is None
    assert (loop.figures.overtaken, loop.figures.version, loop.progress.label) == (1, 2, 6)
    assert encode_opponents(loop.learner.opponents) == counted
    restarted = bench.start()
    assert restarted.progress == loop.progress
    report = restarted.step(0)
    assert report is not None
    assert (report.scored_version, report.version, report.label, report.left) == (2, 5, 7, 4)
    assert bench.store.pointer() == Pointer(2, 5)
    assert bench.start().progress.label == 7


def test_an_operators_rollback_is_not_undone_by_that_of_a_probation(
    small_settings: Settings,
) -> None:
    settings = tuned(small_settings, trial_windows=1, confidence=2.0)
    bench = Bench(make_log(2, LABELS, users=30), settings)
    loop: TrainerLoop | None = None

    def hit(step: str) -> None:
        if loop is not None and step == "check" and loop.progress.label == 7:
            spoil(loop)
        if step == ROLL_BACK:  # probation has decided for 5; the operator is faster
            roll_back(bench.store, 3)

    loop = bench.start(hit)
    while loop.figures.overtaken == 0:
        loop.step(0)
    assert bench.store.pointer() == Pointer(2, 3, 6)
    assert (loop.figures.rolled_back, loop.progress.label) == (0, 8)
    report = loop.step(0)
    assert report is not None
    assert (report.scored_version, report.version, report.label, report.left) == (3, 7, 9, 6)


def test_a_rollback_right_after_another_still_passes_over_all_that_was_left(
    small_settings: Settings,
) -> None:
    bench = Bench(make_log(2, LABELS), small_settings)
    loop = bench.start()
    for _ in range(4):
        loop.step(0)
    roll_back(bench.store, 3)
    assert roll_back(bench.store, 1) == Pointer(3, 1, 4)
    assert bench.start().progress.label == 6
    with pytest.raises(WeightsError, match="version 1 is the current one already"):
        roll_back(bench.store, 1)
    with pytest.raises(VersionNotFound):
        roll_back(bench.store, 9)


def test_before_the_first_version_there_is_nothing_to_roll_back(small_settings: Settings) -> None:
    with pytest.raises(WeightsError, match="nothing was published yet"):
        roll_back(Bench({0: []}, small_settings).store, 1)
