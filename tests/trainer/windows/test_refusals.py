"""Events by which users say no: context, and nothing that is scored, trained or counted."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from everfresh.contracts.errors import WorkerLost
from everfresh.contracts.sequence import Interaction, skip_entries
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import DecodedExample, Example, SlicePart, TrainingWindow
from everfresh.model.metrics import MISS
from everfresh.model.network.batches import make_batches
from everfresh.trainer.learning.learner import fresh_learner, remember
from everfresh.trainer.learning.network import TrainingOutcome
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.learning.window_task import WindowTask
from everfresh.trainer.scoring.target_groups import taught_targets
from everfresh.trainer.windows.assemble import slice_digest
from everfresh.trainer.windows.holdout import hold_out
from everfresh.trainer.windows.refusals import marked, without_refusals
from tests.trainer.bench import Bench
from tests.trainer.logs import Log, make_log, windows_of
from tests.trainer.small_settings import SMALL


def one(*targets: tuple[int, str, float | None]) -> DecodedExample:
    done = [
        Interaction(item, action, 1000 + at, value)
        for at, (item, action, value) in enumerate(targets)
    ]
    places = list(range(len(done)))
    return DecodedExample(7, [], done, places, places)


def window(*examples: DecodedExample) -> TrainingWindow:
    return TrainingWindow(3, {}, list(examples), {})


LIKED, SKIPPED = (1, "click", None), (2, "skip", None)


def test_a_refusal_is_told_by_its_type_or_its_value() -> None:
    rated = [(3, "rating", 2.5), (4, "rating", 3.0), (5, "rating", None)]
    (example,) = marked(window(one(LIKED, SKIPPED, *rated)), ["skip", "rating<3"]).examples
    assert example.refused == [False, True, True, False, False]
    assert example.taught == 3


def test_without_refusals_a_window_is_itself() -> None:
    plain = window(one(LIKED, LIKED))
    assert marked(plain, ["skip"]) is plain
    assert marked(window(one(SKIPPED)), []).examples[0].refused == []


def test_an_example_without_a_refusal_has_the_bytes_that_it_had_before_there_were_any() -> None:
    assert b"refused" not in msgspec.msgpack.encode(one(LIKED))


def test_who_counts_sees_none_and_holding_out_keeps_the_marks() -> None:
    part = marked(window(one(LIKED, SKIPPED, LIKED, SKIPPED)), ["skip"])
    assert [target.item for each in without_refusals(part.examples) for target in each.targets] == [
        1,
        1,
    ]
    settings = load_settings({"gate": {"share": 0.5}}).gate
    split = hold_out(part, [], settings, seed=1)
    kept = split.window.examples + split.new
    assert [mark for each in kept for mark in each.refused] == [False, True, False, True]
    assert list(taught_targets(part.examples)) == [True, False, True, False]


def small(**trainer: Any) -> Settings:
    return load_settings({**SMALL, "trainer": {**SMALL["trainer"], **trainer}})


def test_a_refused_item_is_read_and_is_no_target() -> None:
    settings = small()
    learner = fresh_learner(settings)
    part = marked(window(one(LIKED, SKIPPED, LIKED), one(LIKED, LIKED)), ["skip"])
    train_window(learner.task(part, settings, 0))
    vocabulary = learner.network.recommender.vocabulary
    assert vocabulary.row(1) > 0
    assert 2 not in vocabulary, "nobody but the refusal has sighted it"
    (batch,) = make_batches(part.examples, vocabulary, settings.model, 1000, 1)
    assert batch.targets.count_nonzero() == 4
    assert batch.rows.shape == (5,)
    trends = learner.network.recommender.trends
    # Four sightings at three lives, and what two visits begin with.
    assert trends.tensors()["trends.counts"].sum() == pytest.approx(4 * 3 + 2, rel=0.01)
    ranks = learner.network.recommender.ranks(part.examples, exclude_seen=False)
    assert list(np.flatnonzero(ranks == MISS)) == [1]
    remember(learner, part, 0)
    assert learner.opponents.events == 4


def test_a_full_retrain_remembers_which_targets_were_refusals() -> None:
    settings = small(strategy="retrain")
    strategy = fresh_learner(settings).strategy
    late, early = one(LIKED, SKIPPED), one(SKIPPED, LIKED, LIKED)
    late = msgspec.structs.replace(late, offsets=[8, 9])
    for number, each in enumerate([one(LIKED), late, early]):
        part = marked(window(each), ["skip"])
        strategy.remember(fresh_learner(settings).network, part, number)
    again = fresh_learner(settings).strategy
    again.restore(strategy.encode())
    network = fresh_learner(settings).network
    network.recommender.admit([one(LIKED, SKIPPED)])
    (batch,) = again.training_batches(network, window(), 3, 0)
    assert batch.sequences.rows.shape == (6,)
    assert batch.sequences.targets.count_nonzero() == 4, "two of the six were refusals"
    assert b"refused" not in plain_memory(settings)


def plain_memory(settings: Settings) -> bytes:
    """Of a full retrain that has met no refusal."""
    learner = fresh_learner(settings)
    for number in range(2):
        learner.strategy.remember(learner.network, window(one(LIKED, LIKED)), number)
    return learner.strategy.encode()


def refusing(log: Log) -> Log:
    """The log in which every user's second event of a slice is a ``view``, all others clicks."""
    made: Log = {}
    for partition, records in log.items():
        parts: list[SlicePart] = []
        made[partition] = []
        for record in records:
            if isinstance(record, SlicePart):
                parts.append(
                    msgspec.structs.replace(record, examples=[*map(_viewed, record.examples)])
                )
                made[partition].append(parts[-1])
            else:
                digest = slice_digest(parts)
                made[partition].append(msgspec.structs.replace(record, digest=digest))
                parts = []
    return made


def _viewed(example: Example) -> Example:
    if len(example.offsets) < 2:
        return example
    targets = bytearray(example.targets)
    targets[skip_entries(example.targets, 0, 1) + 1] = 0  # the code of the second entry
    return msgspec.structs.replace(example, targets=bytes(targets))


def refused_by(settings: Settings, *kinds: str) -> Settings:
    trainer = settings.trainer.model_copy(update={"refusals": list(kinds)})
    return settings.model_copy(update={"trainer": trainer})


def test_refusals_are_counted_and_all_others_are_scored_and_trained(
    small_settings: Settings,
) -> None:
    log = refusing(make_log(2, [3, 4, 5, 6]))
    marks = [marked(part, ["view"]) for part in windows_of(log)]
    expected = [sum(sum(each.refused) for each in part.examples) for part in marks]
    assert sum(expected) >= 5
    bench = Bench(log, refused_by(small_settings, "view"))
    loop = bench.run()
    assert [report.refused for report in bench.reports.windows] == expected
    counted = [part.events - refused for part, refused in zip(marks, expected, strict=True)]
    assert [report.events for report in bench.reports.windows] == counted
    last = bench.store.manifest(bench.store.versions()[-1])
    assert (last.events, last.refused) == (sum(counted), expected[-1])
    assert loop.figures.refused == sum(expected)


def test_a_window_of_refusals_alone_is_passed_over_and_counted(small_settings: Settings) -> None:
    log = make_log(2, [3, 4, 5, 6])
    bench = Bench(log, refused_by(small_settings, "click"))
    loop = bench.run()
    assert bench.store.versions() == []
    assert loop.progress.label == 6
    assert loop.figures.refused == sum(part.events for part in windows_of(log))


def test_a_window_that_is_read_again_counts_its_refusals_once(small_settings: Settings) -> None:
    log = refusing(make_log(2, [3, 4, 5, 6]))
    marks = [marked(part, ["view"]) for part in windows_of(log)]
    lost: list[str] = []

    def lose_one(task: WindowTask) -> TrainingOutcome:
        if task.number and not lost:
            lost.append("a process")
            raise WorkerLost("it died")
        return train_window(task)

    bench = Bench(log, refused_by(small_settings, "view"))
    loop = bench.start(train=lose_one)
    while loop.progress.label != 6:
        loop.step(0)
    assert loop.figures.workers_lost == 1
    assert loop.figures.refused == sum(sum(each.refused) for w in marks for each in w.examples)


def test_a_restart_marks_the_same(small_settings: Settings) -> None:
    log = refusing(make_log(2, [3, 4, 5, 6]))
    whole = Bench(log, refused_by(small_settings, "view"))
    whole.run()
    pieces = Bench(log, whole.settings)
    for _ in range(4):
        pieces.start().step(0)
    assert pieces.versions() == whole.versions()
