from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from benchmarks._gate_runs import spoil
from everfresh.adapters.weights.rollback import roll_back
from everfresh.contracts.errors import VersionNotFound, WeightsError
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import TrainingWindow
from everfresh.model.optimizer import encode_optimizer
from everfresh.trainer.gate.candidate import judge, measure
from everfresh.trainer.loop import ROLL_BACK, TrainerLoop
from everfresh.trainer.windows.holdout import prepare
from tests.trainer.bench import SMALL, Bench
from tests.trainer.logs import make_log

LABELS = list(range(3, 11))
POISONED = 7


def tuned(settings: Settings, **gate: Any) -> Settings:
    return load_settings({"home": str(settings.home), **SMALL, "gate": gate})


def all_one(label: int, items: list[int]) -> list[int]:
    return [5] * len(items) if label == POISONED else items


@pytest.fixture
def poisoned(small_settings: Settings) -> Bench:
    return Bench(make_log(2, LABELS, users=20, distort=all_one), small_settings)


def test_a_poisoned_window_is_held_counted_set_aside_and_alarmed(
    poisoned: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "everfresh.trainer"):
        loop = poisoned.run()
    store = poisoned.store
    labels = [store.manifest(version).label for version in store.versions()]
    assert labels == [label for label in LABELS if label != POISONED]
    (rejected,) = store.rejected()
    assert (rejected.label, rejected.files) == (POISONED, [])
    assert "item 5 has 100%" in rejected.reason
    assert rejected.parent == labels.index(POISONED - 1) + 1
    assert (loop.figures.held, loop.figures.alarms) == (1, 1)
    assert loop.figures.last_held == f"window {POISONED}: {rejected.reason}"
    assert "window 7 is held: item 5 has 100%" in caplog.text
    (report,) = [one for one in poisoned.reports.windows if one.held]
    assert (report.label, report.version, report.held) == (POISONED, 4, rejected.reason)
    assert report.events == rejected.events > 0


def bytes_of(loop: TrainerLoop) -> tuple[dict[str, bytes], bytes, bytes]:
    """All that a window may leave its trace in: weights, vocabulary, memory, the optimizer."""
    network = loop.learner.network
    optimizer = encode_optimizer(network.optimizer, network.recommender)
    return network.recommender.save(), loop.learner.strategy.encode(), optimizer


def test_a_held_window_moves_the_positions_and_leaves_no_trace_in_the_weights(
    poisoned: Bench,
) -> None:
    loop = poisoned.start()
    while loop.progress.label != POISONED - 1:
        loop.step(0)
    before = bytes_of(loop)
    report = loop.step(0)
    assert report is not None
    assert "item 5 has 100%" in report.held
    assert bytes_of(loop) == before
    loop.step(0)
    store = poisoned.store
    after = store.manifest(store.versions()[4])
    assert (after.label, after.parent) == (POISONED + 1, 4)
    ends = {partition: offsets[1] for partition, offsets in store.rejected()[0].ranges.items()}
    assert all(after.trained_through[partition] > end for partition, end in ends.items())


def test_a_candidate_of_noise_is_held_as_worse_than_its_parent(small_settings: Settings) -> None:
    labels = list(range(3, 14))
    bench = Bench(make_log(2, labels, users=40), tuned(small_settings, share=0.5))
    loop: TrainerLoop | None = None

    def hit(step: str) -> None:
        if loop is not None and step == "check" and loop.progress.label == 12:
            spoil(loop)

    loop = bench.start(hit)
    for _ in labels:
        loop.step(0)
    (rejected,) = bench.store.rejected()
    assert (rejected.label, rejected.parent) == (13, 10)
    assert "worse than its parent on" in rejected.reason
    assert {file.name for file in rejected.files} >= {"model.safetensors", "trainer.msgpack"}
    assert bench.store.pointer() == Pointer(1, 10)


def test_a_candidate_whose_norm_has_jumped_is_held_and_leaves_no_trace(
    small_settings: Settings,
) -> None:
    bench = Bench(make_log(2, LABELS), small_settings)
    loop: TrainerLoop | None = None

    def hit(step: str) -> None:
        if loop is not None and step == "check" and loop.progress.label == POISONED - 1:
            with torch.no_grad():
                loop.learner.network.recommender.network.items.mul_(5.0)

    loop = bench.start(hit)
    while loop.progress.label != POISONED - 1:
        loop.step(0)
    before = bytes_of(loop)
    loop.step(0)
    assert bytes_of(loop) == before
    while loop.progress.label != LABELS[-1]:
        loop.step(0)
    assert [one.label for one in bench.store.rejected()] == [POISONED]
    assert "the norm of items has grown" in bench.store.rejected()[0].reason


def test_a_parent_judged_as_its_own_candidate_passes(small_settings: Settings) -> None:
    bench = Bench(make_log(2, LABELS, users=30), tuned(small_settings, share=0.5))
    loop = bench.run()
    newest = TrainingWindow(99, {}, loop.learner.gate.held[-1].examples, {})
    gate = bench.settings.gate
    lesson = prepare(newest, loop.learner.gate.held, gate, 1)
    model = loop.learner.network.recommender
    assert judge(model, measure(model, lesson), gate) is None


def test_after_its_patience_the_gate_takes_the_stream_as_it_is(small_settings: Settings) -> None:
    def forever(label: int, items: list[int]) -> list[int]:
        return [5] * len(items) if label >= POISONED - 1 else items

    settings = tuned(small_settings, patience=2)
    bench = Bench(make_log(2, LABELS, users=20, distort=forever), settings)
    loop = bench.run()
    labels = [bench.store.manifest(version).label for version in bench.store.versions()]
    assert labels == [3, 4, 5, 8]
    assert [one.label for one in bench.store.rejected()] == [6, 7, 9, 10]
    assert loop.figures.let_pass == 1
    patient = Bench(bench.log, tuned(small_settings, patience=0))
    assert patient.run().figures.held == 5


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
    # Version 6, trained on window 8, lost its trial on window 9, which version 5 then learnt from.
    assert lineage == {5: (4, 7, 0), 6: (5, 8, 0), 7: (5, 9, 6), 8: (7, 10, 0)}
    assert bench.store.pointer() == Pointer(2, 8)
    assert (loop.figures.rolled_back, loop.figures.alarms) == (1, 1)
    assert "rolled back from version 6 to 5" in caplog.text
    assert [one.left for one in bench.reports.windows if one.label == 9] == [6]


def test_an_operators_rollback_is_gone_on_from_and_never_undone(small_settings: Settings) -> None:
    bench = Bench(make_log(2, LABELS), small_settings)
    loop = bench.start()
    for _ in range(4):
        loop.step(0)
    markov = loop.learner.markov.encode()
    assert roll_back(bench.store, 2) == Pointer(2, 2, 4)
    assert loop.step(0) is None
    assert (loop.figures.overtaken, loop.figures.version, loop.progress.label) == (1, 2, 6)
    assert loop.learner.markov.encode() == markov
    restarted = bench.start()
    assert restarted.progress == loop.progress
    report = restarted.step(0)
    assert report is not None
    assert (report.scored_version, report.version, report.label, report.left) == (2, 5, 7, 4)
    assert bench.store.pointer() == Pointer(2, 5)
    assert bench.start().progress.label == 7


def test_an_operators_rollback_is_not_undone_by_that_of_a_trial(small_settings: Settings) -> None:
    settings = tuned(small_settings, trial_windows=1, confidence=2.0)
    bench = Bench(make_log(2, LABELS, users=30), settings)
    loop: TrainerLoop | None = None

    def hit(step: str) -> None:
        if loop is not None and step == "check" and loop.progress.label == 7:
            spoil(loop)
        if step == ROLL_BACK:  # the trial has decided for 5; the operator is faster
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
