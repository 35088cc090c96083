"""A flood of new items: it is said, it is not learnt, and those who came before lose nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import SliceRecord
from everfresh.trainer.checkpoint import restore
from everfresh.trainer.learning.strategies.replay import Replay
from tests.trainer.bench import Bench
from tests.trainer.logs import Log, example, run
from tests.trainer.small_settings import SMALL

LABELS = list(range(3, 9))
FLOODED = (6, 7, 8)
USERS, ITEMS, EVIL, EACH = 8, 12, 1_000, 60


def flooded_log() -> Log:
    """Users walk up the items; some windows hold many events more, each on an item of its own."""
    records: list[SliceRecord] = []
    seen: dict[int, list[int]] = {user: [user] for user in range(USERS)}
    offset = 0
    for label in LABELS:
        start, examples = offset, []
        for user, past in seen.items():
            walk = [(past[-1] + step) % ITEMS for step in (1, 2, 3)]
            examples.append(example(user, walk, offset, past[-20:]))
            seen[user] = [*past, *walk]
            offset += len(walk)
        for n in range(EACH if label in FLOODED else 0):
            examples.append(example(500 + n % 30, [EVIL + 100 * label + n], offset))
            offset += 1
        records += run(0, label, start, [examples])
    return {0: records}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    trainer = {**SMALL["trainer"], "new_items": 12}
    gate = {"clock_shift": 1.0}
    return load_settings({"home": str(tmp_path), **SMALL, "trainer": trainer, "gate": gate})


@pytest.fixture
def bench(settings: Settings) -> Bench:
    return Bench(flooded_log(), settings)


def test_a_flood_of_new_items_is_said_and_gets_no_rows(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        loop = bench.run()
    reports = {report.label: report for report in bench.reports.windows}
    brought = {label: report.flood for label, report in reports.items() if report.flood}
    assert brought == dict.fromkeys(FLOODED, EACH)
    assert loop.figures.floods == len(FLOODED)
    assert loop.figures.alarms >= len(FLOODED)
    assert "brings a flood of new items: 60 wait until another user has used them" in caplog.text
    assert not [report.held for report in reports.values() if report.held]
    vocabulary = loop.learner.network.recommender.vocabulary
    assert len(vocabulary) == ITEMS


def test_a_flood_is_not_trained_and_not_remembered(bench: Bench, settings: Settings) -> None:
    bench.run()
    manifest = bench.store.manifest(bench.store.versions()[-1])
    learner = restore(bench.store, manifest, settings).learner
    assert isinstance(learner.strategy, Replay)
    remembered = [one.user for one in learner.strategy.memory.state.examples]
    held = [one.user for window in learner.gate.held for one in window.examples]
    assert remembered
    assert {*remembered, *held} <= set(range(USERS))


def test_killed_in_a_flood_the_trainer_reaches_the_same_versions(bench: Bench) -> None:
    bench.run()
    undisturbed = bench.versions()
    again = Bench(bench.log, bench.settings)
    for _ in range(len(LABELS)):
        loop = again.start()  # after each window a new trainer
        loop.step(0)
    assert again.versions() == undisturbed
