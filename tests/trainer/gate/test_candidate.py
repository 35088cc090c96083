from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gate.runs import spoil
from everfresh.contracts.event import ItemId
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.settings import GateSettings, Settings, load_settings
from everfresh.contracts.window import TrainingWindow
from everfresh.model.optimizer import encode_optimizer
from everfresh.model.recommender import Recommender
from everfresh.model.trend_learning import learn_trends
from everfresh.trainer.gate.candidate import (
    Judged,
    MeasuredParent,
    judge_candidate,
    measure_parent,
)
from everfresh.trainer.gate.window_checks import Profile
from everfresh.trainer.loop import TrainerLoop
from everfresh.trainer.scoring.paired import Paired, pair
from everfresh.trainer.windows.holdout import HoldoutSplit, hold_out
from tests.model.streams import example, stream, trained
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log
from tests.trainer.small_settings import SMALL

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
    (report,) = [report for report in poisoned.reports.windows if report.held]
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
    assert [rejected.label for rejected in bench.store.rejected()] == [POISONED]
    assert "the norm of items has grown" in bench.store.rejected()[0].reason


def test_a_parent_judged_as_its_own_candidate_passes(small_settings: Settings) -> None:
    bench = Bench(make_log(2, LABELS, users=30), tuned(small_settings, share=0.5))
    loop = bench.run()
    newest = TrainingWindow(99, {}, loop.learner.gate.held[-1].examples, {})
    gate = bench.settings.gate
    split = hold_out(newest, loop.learner.gate.held, gate, 1)
    model = loop.learner.network.recommender
    assert judged_by(gate, model, measure_parent(model, split)) is None


def test_what_is_hot_now_is_not_held_against_a_candidate_on_what_is_past() -> None:
    """Its counts are of a later time than past targets; on new ones they are what they should be.

    On the drifting stream ten windows of a backfill were held for this, one after another.
    """
    model = trained(stream(3, users=40))
    hot_then, hot_now = (
        [example(user, [9], [first + user % 3] * 20) for user in range(200)] for first in (1, 20)
    )
    learn_trends(model, hot_then)
    model.weigh_trends(model.trends.weights + np.float32(1.0))
    past = [example(user, [9], [1 + user % 3]) for user in range(100)]
    split = HoldoutSplit(TrainingWindow(9, {}, [], {}), [], past, [])
    gate = GateSettings()
    measured, ranks = measure_parent(model, split), model.ranks(past, False)
    learn_trends(model, hot_now)
    assert pair(model.ranks(past, False), ranks, past).worse(gate.tolerance, gate.confidence)
    assert judged_by(gate, model, measured) is None


def test_news_that_everybody_reads_is_not_held_against_a_candidate_on_what_is_past() -> None:
    """It is ranked first for everybody, and all else one place lower.

    On a stream of news ten windows of a backfill were held for this, one after another.
    """
    model = trained(stream(3, users=40))
    past = [example(user, [9], [1 + user % 3]) for user in range(100)]
    news, other = [20, 21, 22, 23, 24], 9
    rows = model.vocabulary.rows_of(news)

    def window(share: int) -> TrainingWindow:
        """``share`` in a hundred targets are on the news, the others on as many items."""
        items = [news[user % 5] if user < share else 100 + user for user in range(100)]
        return TrainingWindow(
            9, {}, [example(user, [other], [item]) for user, item in enumerate(items)], {}
        )

    def judged(share: int) -> str | None:
        split = HoldoutSplit(window(share), [], past, [])
        measured = measure_parent(model, split)
        with torch.no_grad():
            kept = model.network.item_bias.clone()
            model.network.item_bias[rows] += 100.0
        model._tables.weights_changed()
        why = judged_by(GateSettings(norm_jump=1e6), model, measured)
        with torch.no_grad():
            model.network.item_bias.copy_(kept)
        model._tables.weights_changed()
        return why

    assert all(rows)
    assert judged(30) is None
    assert "past targets" in (judged(5) or ""), "what few read is not news"
    known = [example(user, [other], [news[user % 5]]) for user in range(50)]
    often = HoldoutSplit(window(30), [], past + known, [])
    assert barred(model, often) == [], "nor is what many read before"


def test_what_visits_begin_with_is_no_news() -> None:
    """Past targets are the last ones of examples, among which it never is."""
    model = trained(stream(3, users=40))
    past = [example(user, [9], [10 + user % 50]) for user in range(100)]
    visits = [example(user, [], [1, 2, 10 + user % 50]) for user in range(200)]
    split = HoldoutSplit(TrainingWindow(9, {}, visits, {}), [], past, [])
    assert barred(model, split) == []


def test_what_few_past_targets_lack_by_chance_is_no_news() -> None:
    model = trained(stream(3, users=40))

    def split(number: int) -> HoldoutSplit:
        """A tenth of the window is of an item that none of so many past targets is of."""
        past = [example(user, [9], [10 + user % 50]) for user in range(number)]
        window = [example(user, [9], [1 if user < 10 else 10 + user]) for user in range(100)]
        return HoldoutSplit(TrainingWindow(9, {}, window, {}), [], past, [])

    assert barred(model, split(0)) == barred(model, split(15)) == []
    assert barred(model, split(300)) == [1]


def test_what_candidates_of_a_stream_usually_lose_on_what_is_past_is_allowed_besides() -> None:
    """Up to as much again as ``gate.tolerance``: more of it goes with the time where windows are
    longer. Of windows of two hours ten were held, one after another."""
    model = trained(stream(3, users=40))
    past = [example(user, [9], [1 + user % 3]) for user in range(100)]
    split = HoldoutSplit(TrainingWindow(9, {}, [], {}), [], past, [])
    lost = _lost(model, split, Profile())
    share = lost.past.s / lost.past.base
    assert share > 0.1
    tolerance = share - 0.01
    held = GateSettings(tolerance=tolerance, confidence=0.0)
    window, usual = TrainingWindow(9, {}, [], {}), Paired(s=0.02, base=1.0)
    profile = Profile().after(window, None, usual)
    assert profile.forgets == pytest.approx(0.02)
    assert "past targets" in (_lost(model, split, Profile(), held).refused or "")
    assert _lost(model, split, profile, held).refused is None
    slowly = Profile()
    for _ in range(20):
        slowly = slowly.after(window, None, Paired(s=0.9, base=1.0))
    half = GateSettings(tolerance=share / 2 - 0.01, confidence=0.0)
    assert "past targets" in (_lost(model, split, slowly, half).refused or ""), "no more than that"


def _lost(
    model: Recommender, split: HoldoutSplit, profile: Profile, gate: GateSettings | None = None
) -> Judged:
    """What is said of a candidate to which one other item is a little dearer."""
    gate = gate or GateSettings(tolerance=1.0)
    measured = measure_parent(model, split)
    row = model.vocabulary.rows_of([20])
    with torch.no_grad():
        kept = model.network.item_bias.clone()
        model.network.item_bias[row] += 100.0
    model._tables.weights_changed()
    judged = judge_candidate(model, measured, gate.model_copy(update={"norm_jump": 1e6}), profile)
    with torch.no_grad():
        model.network.item_bias.copy_(kept)
    model._tables.weights_changed()
    return judged


def barred(model: Recommender, split: HoldoutSplit) -> list[ItemId]:
    """What past targets are not ranked among."""
    return list(measure_parent(model, split).barred["past"])


def judged_by(gate: GateSettings, model: Recommender, parent: MeasuredParent) -> str | None:
    """Of a stream of which nothing is known yet."""
    return judge_candidate(model, parent, gate, Profile()).refused


def test_after_its_patience_the_gate_takes_the_stream_as_it_is(small_settings: Settings) -> None:
    def forever(label: int, items: list[int]) -> list[int]:
        return [5] * len(items) if label >= POISONED - 1 else items

    settings = tuned(small_settings, patience=2)
    bench = Bench(make_log(2, LABELS, users=20, distort=forever), settings)
    loop = bench.run()
    labels = [bench.store.manifest(version).label for version in bench.store.versions()]
    assert labels == [3, 4, 5, 8]
    assert [rejected.label for rejected in bench.store.rejected()] == [6, 7, 9, 10]
    assert loop.figures.let_pass == 1
    patient = Bench(bench.log, tuned(small_settings, patience=0))
    assert patient.run().figures.held == 5
