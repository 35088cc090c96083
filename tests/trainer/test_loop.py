from __future__ import annotations

import msgspec
import pytest
import torch

from everfresh.adapters.memory import MemoryReportSink, MemoryWeightStore, MemoryWindowSource
from everfresh.contracts.errors import WindowGap, WorkerLost
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.settings import Settings
from everfresh.model.weights import all_finite
from everfresh.trainer.learning.network import TrainingOutcome
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.learning.window_task import WindowTask
from everfresh.trainer.loop import TrainerLoop
from tests.trainer.bench import STEPS, Bench
from tests.trainer.logs import example, make_log, run
from tests.trainer.small_settings import with_strategy

LABELS = [3, 4, 6, 7, 9]


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


class KillAt:
    """Ends the loop at the ``nth`` step boundary."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def __call__(self, step: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed(step)


@pytest.fixture
def bench(small_settings: Settings) -> Bench:
    return Bench(make_log(2, LABELS), small_settings)


@pytest.fixture
def undisturbed(small_settings: Settings) -> Bench:
    bench = Bench(make_log(2, LABELS), small_settings)
    bench.run()
    return bench


def test_a_replayed_log_gives_identical_versions(bench: Bench, undisturbed: Bench) -> None:
    bench.run()
    assert bench.versions() == undisturbed.versions()
    assert len({row[-1]["model.safetensors"] for row in bench.versions()}) == len(LABELS)


def test_manifests_name_what_was_trained_and_where_to_read_on(undisturbed: Bench) -> None:
    store, log = undisturbed.store, undisturbed.log
    last = store.manifest(len(LABELS))
    assert [store.manifest(number).label for number in store.versions()] == LABELS
    assert [store.manifest(number).parent for number in store.versions()] == [None, 1, 2, 3, 4]
    assert last.windows_read == {partition: len(records) for partition, records in log.items()}
    assert last.events == sum(last.trained_through.values())


def test_a_restart_needs_nothing_of_the_log_before_the_positions_of_its_manifest(
    bench: Bench, undisturbed: Bench
) -> None:
    loop = bench.start()
    for _ in range(3):
        loop.step(0)
    reads = bench.store.manifest(3).windows_read
    for partition, records in bench.log.items():
        # What a reader must not ask for again; retention may have taken it.
        foreign = run(partition, 1, 77, [], rejected=900)[0]
        records[: reads[partition]] = [foreign] * reads[partition]
    bench.run()
    assert bench.versions() == undisturbed.versions()


def test_a_window_is_scored_by_its_parent_before_it_is_trained(bench: Bench) -> None:
    ranked: list[tuple[str, int]] = []
    loop: TrainerLoop | None = None

    def note(step: str) -> None:
        if loop is not None and step in ("score", "train"):
            ranked.append((step, len(loop.learner.network.recommender.vocabulary)))

    loop = bench.start(note)
    report = loop.step(0)
    assert report is not None
    assert (report.scored_version, set(report.scores)) == (
        None,
        {"popularity", "markov", "vmis-knn"},
    )
    report = loop.step(0)
    assert report is not None
    assert (report.scored_version, report.version) == (1, 2)
    assert set(report.scores) == {"live", "frozen", "popularity", "markov", "vmis-knn"}
    # Nothing is admitted before scoring has ended, and frozen is still what live is at version 1.
    assert ranked[2] == ("score", ranked[3][1])
    assert report.scores["live"] == report.scores["frozen"]


def test_no_item_is_fresh_to_the_version_that_knows_one_window_alone(bench: Bench) -> None:
    bench.run()
    first, second, *_ = bench.reports.windows
    assert (first.scored_version, second.scored_version) == (None, 1)
    assert first.fresh == second.fresh == 0
    assert not {"fresh_hr10", "older_hr10"} & set(second.scores["live"])
    assert second.older == 0
    assert 0 < second.first + second.second <= second.events
    assert "second_hr10" in second.scores["live"]
    # Items that the second window brought are fresh in the third.
    assert "fresh_hr10" in bench.reports.windows[2].scores["live"]


def test_frozen_stays_the_first_version_also_after_a_restart(
    bench: Bench, undisturbed: Bench
) -> None:
    loop = bench.start()
    for _ in range(3):
        loop.step(0)
    bench.run()
    assert frozen_scores(bench) == frozen_scores(undisturbed)
    assert len(frozen_scores(bench)) == len(LABELS) - 1


def frozen_scores(bench: Bench) -> dict[int, dict[str, float]]:
    reports = bench.reports.windows
    return {
        report.version: report.scores["frozen"] for report in reports if "frozen" in report.scores
    }


def test_windows_without_events_train_nothing_and_still_move_the_positions(
    small_settings: Settings,
) -> None:
    log = {0: run(0, 1, 0, [[example(1, [1, 2, 3], 0)]]) + run(0, 2, 3, [], rejected=2)}
    log[0] += run(0, 3, 5, []) + run(0, 8, 5, [[example(1, [2, 3], 5)]])
    bench = Bench(log, small_settings)
    loop = bench.run()
    assert bench.store.versions() == [1, 2]
    assert bench.store.manifest(1).trained_through == {0: 3}
    assert bench.store.manifest(2).trained_through == {0: 7}
    assert bench.store.manifest(2).windows_read == {0: 6}
    assert (loop.figures.windows, loop.figures.rejected) == (2, 2)


def test_a_candidate_that_is_not_finite_is_not_published(bench: Bench, undisturbed: Bench) -> None:
    loop: TrainerLoop | None = None

    def poison(step: str) -> None:
        if loop is not None and step == "check" and loop.progress.label == LABELS[1]:
            with torch.no_grad():
                loop.learner.network.recommender.parameters()[0].view(-1)[0] = float("nan")

    loop = bench.start(poison)
    for _ in range(2 * len(LABELS)):
        loop.step(0)
    assert loop.figures.held == 1
    # The third window is lost to the weights; the fourth goes on from the second's version.
    assert [bench.store.manifest(n).label for n in bench.store.versions()] == [3, 4, 7, 9]
    assert bench.store.manifest(3).parent == 2
    assert bench.versions()[:2] == undisturbed.versions()[:2]
    assert all_finite(loop.learner.network.recommender.parameters())


def test_a_broken_first_candidate_leaves_no_version_and_the_next_is_the_first(
    bench: Bench,
) -> None:
    loop: TrainerLoop | None = None

    def poison(step: str) -> None:
        if loop is not None and step == "check" and loop.progress.label is None:
            with torch.no_grad():
                loop.learner.network.recommender.parameters()[0].view(-1)[0] = float("inf")

    loop = bench.start(poison)
    loop.step(0)
    assert (bench.store.versions(), bench.store.pointer()) == ([], None)
    loop.step(0)
    assert bench.store.manifest(1).label == LABELS[1]


def test_an_orphan_that_equals_the_candidate_is_taken_over(
    bench: Bench, undisturbed: Bench
) -> None:
    at_advance = list(STEPS).index("advance")
    with pytest.raises(Killed):
        bench.run(KillAt(at_advance))
    assert (bench.store.versions(), bench.store.pointer()) == ([1], None)
    made = bench.store.manifest(1).created_ms
    bench.start().step(0)
    assert bench.store.pointer() == Pointer(1, 1)
    assert bench.store.manifest(1).created_ms == made


def test_a_foreign_version_above_the_pointer_keeps_its_number(bench: Bench) -> None:
    bench.start().step(0)
    first = bench.store.manifest(1)
    foreign = msgspec.structs.replace(first, version=2, parent=1, label=99, files=[])
    bench.store.write(foreign, {"model.safetensors": b"another trainer's"})
    bench.start().step(0)
    assert bench.store.manifest(2).label == 99
    assert bench.store.manifest(3).parent == 1
    assert bench.store.pointer() == Pointer(1, 3)


def test_after_a_rollback_it_goes_on_from_the_pointer_with_a_new_number(bench: Bench) -> None:
    loop = bench.start()
    for _ in range(3):
        loop.step(0)
    bench.store.advance(Pointer(2, 1))
    assert loop.step(0) is None
    assert loop.figures.overtaken == 1
    assert loop.figures.version == 1
    for _ in range(2 * len(LABELS)):
        loop.step(0)
    pointer = bench.store.pointer()
    assert pointer is not None
    assert pointer.epoch == 2
    assert bench.store.manifest(pointer.version).label == LABELS[-1]


def test_a_gap_in_the_log_ends_the_trainer(small_settings: Settings) -> None:
    log = {0: run(0, 1, 0, [[example(1, [1], 0)]]) + run(0, 2, 5, [[example(1, [2], 5)]])}
    bench = Bench(log, small_settings)
    with pytest.raises(WindowGap, match="expected a slice from events offset 1"):
        bench.run()


def test_old_versions_are_deleted_but_never_the_frozen_or_the_current_one(
    small_settings: Settings,
) -> None:
    weights = small_settings.weights.model_copy(update={"keep": 2})
    gate = small_settings.gate.model_copy(update={"trial_windows": 1})
    changed = {"weights": weights, "gate": gate}
    bench = Bench(make_log(2, LABELS), small_settings.model_copy(update=changed))
    bench.run()
    assert bench.store.versions() == [1, 4, 5]
    bench.run()  # a restart finds the frozen one


def test_a_damaged_parent_ends_its_probation_and_no_trainer(bench: Bench) -> None:
    loop = bench.start()
    for _ in range(3):
        loop.step(0)
    assert [probation.parent for probation in loop.learner.gate.probations] == [1, 2]
    bench.store.damage(2, "model.safetensors", b"not what the manifest says")
    loop = bench.start()
    assert loop.step(0) is not None
    assert 2 not in [probation.parent for probation in loop.learner.gate.probations]


def test_backlog_counts_complete_windows_read_ahead(bench: Bench) -> None:
    loop = bench.start()
    backlogs = []
    for _ in LABELS:
        loop.step(0)
        backlogs.append(loop.figures.backlog)
    assert backlogs == [4, 3, 2, 1, 0]


def test_a_window_whose_worker_was_lost_is_trained_again(bench: Bench, undisturbed: Bench) -> None:
    calls = 0

    def train(task: WindowTask) -> TrainingOutcome:
        nonlocal calls
        calls += 1
        if calls in (1, 4, 5):
            train_window(task)
            raise WorkerLost("a training worker was lost")
        return train_window(task)

    loop = bench.start(train=train)
    for _ in range(2 * len(LABELS)):
        loop.step(0)
    assert (loop.figures.workers_lost, loop.figures.alarms) == (3, 3)
    assert bench.versions() == undisturbed.versions()


def test_what_the_operator_leaves_out_leaves_no_trace(
    bench: Bench, undisturbed: Bench, small_settings: Settings
) -> None:
    bench.log[0][5:5] = run(0, 2**40, 0, [[example(1, [1], 0)]])
    with pytest.raises(WindowGap, match=r"leave out, by trainer\.leave_out"):
        bench.run()
    bench.settings = with_strategy(small_settings, "replay", leave_out=["0:5", "0:6"])
    bench.run()
    assert [row[-1] for row in bench.versions()] == [row[-1] for row in undisturbed.versions()]


def test_foreign_records_are_an_alarm_that_names_the_last(small_settings: Settings) -> None:
    class Source(MemoryWindowSource):
        def left_out(self) -> tuple[int, str]:
            return 2, "windows partition 0 offset 7 is no slice record: no"

    loop = TrainerLoop(
        small_settings,
        Source(make_log(1, [3])),
        MemoryWeightStore(),
        MemoryReportSink(),
        lambda: 5_000,
    )
    loop.step(0)
    assert loop.figures.version == 1
    assert (loop.figures.foreign, loop.figures.alarms) == (2, 2)
    assert "offset 7" in loop.figures.last_foreign
