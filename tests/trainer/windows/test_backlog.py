from __future__ import annotations

from itertools import zip_longest
from typing import Any

import pytest

from everfresh.contracts.manifest import Plan
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import SliceClosed, TrainingWindow
from everfresh.trainer.loop import TrainerLoop
from everfresh.trainer.windows import window_queue as reading
from everfresh.trainer.windows.assemble import Assembler, Progress
from everfresh.trainer.windows.backlog import PlannedWindow, join_windows, sampled_examples
from tests.trainer.bench import Bench
from tests.trainer.logs import Log, make_log
from tests.trainer.small_settings import SMALL

LABELS = list(range(3, 10))


def tuned(settings: Settings, **trainer: Any) -> Settings:
    merged = {**SMALL["trainer"], "backlog_windows": 2, **trainer}
    return load_settings({"home": str(settings.home), **SMALL, "trainer": merged})


def upto(log: Log, label: int) -> Log:
    """The log as it was when the windows up to ``label`` were complete."""
    cut: Log = {}
    for partition, records in log.items():
        ends = [
            at + 1
            for at, record in enumerate(records)
            if isinstance(record, SliceClosed) and record.label <= label
        ]
        cut[partition] = records[: ends[-1]]
    return cut


def windows(log: Log) -> list[TrainingWindow]:
    assembler = Assembler(log, Progress())
    for partition, records in log.items():
        for offset, record in enumerate(records):
            assembler.add(partition, offset, record)
    return [window for _ in LABELS if (window := assembler.take())]


def test_every_trains_each_window_by_itself_and_says_how_far_it_is_behind(
    small_settings: Settings,
) -> None:
    bench = Bench(make_log(2, LABELS), tuned(small_settings, backlog="every"))
    loop = bench.start()
    loop.step(0)
    assert loop.figures.backlog == len(LABELS) - 1
    first = loop.figures.backlog_s
    loop.step(0)
    assert loop.figures.backlog_s > first
    assert bench.store.planned() == []


def test_merge_trains_all_that_wait_as_one_window_and_names_them(small_settings: Settings) -> None:
    bench = Bench(make_log(2, LABELS), tuned(small_settings, backlog="merge"))
    plain = Bench(make_log(2, LABELS), small_settings)
    plain.run()
    loop = bench.run()
    manifest, undivided = bench.store.manifest(1), plain.store.manifest(len(LABELS))
    assert bench.store.versions() == [1]
    assert manifest.merged == LABELS
    assert manifest.label == undivided.label
    assert manifest.trained_through == undivided.trained_through
    assert (manifest.windows_read, manifest.events) == (undivided.windows_read, undivided.events)
    (report,) = bench.reports.windows
    assert (report.merged, report.events) == (LABELS, manifest.events)
    assert loop.figures.merged == len(LABELS) - 1


def test_few_that_wait_are_not_merged(small_settings: Settings) -> None:
    bench = Bench(upto(make_log(2, LABELS), 4), tuned(small_settings, backlog="merge"))
    bench.run()
    assert [bench.store.manifest(version).merged for version in bench.store.versions()] == [[], []]


def test_sample_trains_a_share_of_each_window_and_names_it(small_settings: Settings) -> None:
    log = make_log(2, LABELS, users=20)
    bench = Bench(log, tuned(small_settings, backlog="sample"))
    loop = bench.run()
    shares = [bench.store.manifest(version).sampled for version in bench.store.versions()]
    assert shares == pytest.approx([2 / 7, 2 / 6, 2 / 5, 2 / 4, 2 / 3, 1.0, 1.0])
    assert [report.sampled for report in bench.reports.windows] == shares
    plain = Bench(log, small_settings)
    plain.run()
    last, undivided = bench.store.manifest(7), plain.store.manifest(7)
    assert last.trained_through == undivided.trained_through
    # All items are counted and all events are scored, also those that were not trained.
    assert (last.items, last.events) == (undivided.items, undivided.events)
    assert loop.figures.sampled == 5


class Killed(BaseException):
    """Stands for kill -9."""


def kill_at(step: str) -> Any:
    def boundary(here: str) -> None:
        if here == step:
            raise Killed(here)

    return boundary


@pytest.mark.parametrize("backlog", ["merge", "sample"])
@pytest.mark.parametrize("step", ["score", "train", "check", "write", "advance"])
def test_what_was_taken_before_a_kill_is_taken_again_after_it(
    small_settings: Settings, backlog: str, step: str
) -> None:
    whole, settings = make_log(2, LABELS), tuned(small_settings, backlog=backlog)
    undisturbed = Bench(upto(whole, 6), settings)
    undisturbed.start().step(0)
    killed = Bench(upto(whole, 6), settings)
    with pytest.raises(Killed):
        killed.start(kill_at(step)).step(0)
    # Meanwhile more has come; a new decision would be another.
    killed.log = whole
    killed.start().step(0)
    assert killed.versions() == undisturbed.versions()
    manifest = killed.store.manifest(1)
    assert (manifest.merged, manifest.sampled) == (
        ([3, 4, 5, 6], 1.0) if backlog == "merge" else ([], 0.5)
    )


def after_one_window(whole: Log, settings: Settings) -> tuple[Bench, TrainerLoop, list[str]]:
    """A trainer that stands at version 1 with three more windows waiting; it dies at steps."""
    bench, deadly = Bench(upto(whole, 3), settings), list[str]()

    def boundary(step: str) -> None:
        if step in deadly:
            raise Killed(step)

    loop = bench.start(boundary)
    assert loop.step(0) is not None
    return bench, loop, deadly


@pytest.mark.parametrize("backlog", ["merge", "sample"])
def test_what_was_taken_after_a_window_without_events_is_taken_again(
    small_settings: Settings, backlog: str
) -> None:
    whole, settings = make_log(1, LABELS), tuned(small_settings, backlog=backlog)
    made = []
    for kill in (False, True):
        bench, loop, deadly = after_one_window(whole, settings)
        bench.log.update(upto(whole, 4))
        assert loop.step(0) is None  # window 4 has no events
        bench.log.update(upto(whole, 8))
        if kill:
            deadly.append("advance")
            with pytest.raises(Killed):
                loop.step(0)
            bench.log.update(whole)
            loop = bench.start()
            assert loop.step(0) is None
        assert loop.step(0) is not None
        made.append((bench.versions(), bench.store.manifest(2).merged))
    assert made[0] == made[1]


@pytest.mark.parametrize("backlog", ["merge", "sample"])
def test_what_was_taken_after_a_window_that_was_held_is_taken_again(
    small_settings: Settings, backlog: str
) -> None:
    def distort(label: int, items: list[int]) -> list[int]:
        return [5] * len(items) if label == 4 else items

    whole = make_log(2, LABELS, users=20, distort=distort)
    settings = tuned(small_settings, backlog=backlog)
    # Four windows in one move a young network further than the gate lets one.
    lenient = settings.gate.model_copy(update={"norm_jump": 100.0})
    settings = settings.model_copy(update={"gate": lenient})
    made = []
    for kill in (False, True):
        bench, loop, deadly = after_one_window(whole, settings)
        bench.log.update(upto(whole, 4))
        held = loop.step(0)
        assert held is not None
        assert held.held
        bench.log.update(upto(whole, 8))
        if kill:
            deadly.append("advance")
            with pytest.raises(Killed):
                loop.step(0)
            bench.log.update(whole)
            loop = bench.start()
            again = loop.step(0)
            assert again is not None
            assert (again.label, again.held) == (4, held.held)
        report = loop.step(0)
        assert report is not None
        assert not report.held
        made.append((bench.versions(), bench.store.manifest(2).merged))
    assert made[0] == made[1]


def test_a_plan_waits_for_all_its_windows(small_settings: Settings) -> None:
    whole = make_log(2, LABELS)
    bench = Bench(upto(whole, 4), tuned(small_settings, backlog="merge"))
    bench.store.plan(Plan(0, None, 5, 1.0))
    loop = bench.start()
    assert loop.step(0) is None
    bench.log.update(whole)
    assert loop.step(0) is not None
    assert bench.store.manifest(1).merged == [3, 4, 5]


def test_a_plan_that_reaches_beyond_what_is_read_ahead_is_followed(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "READ_AHEAD_EVENTS", 1)
    log = make_log(2, LABELS)
    bench = Bench(log, tuned(small_settings, backlog="merge"))
    bench.store.plan(Plan(0, None, LABELS[-1], 1.0))
    bench.log = {partition: [] for partition in log}
    loop = bench.start()
    for records in zip_longest(*log.values()):
        assert bench.store.versions() == []
        for partition, record in enumerate(records):
            bench.log[partition].extend([record] if record else [])
        loop.step(0)
    assert bench.store.manifest(1).merged == LABELS


def test_joined_windows_meet_exactly(small_settings: Settings) -> None:
    made = windows(make_log(2, LABELS))
    whole = join_windows(made)
    assert whole.label == LABELS[-1]
    assert whole.events == sum(window.events for window in made)
    assert Progress().after(whole) == Progress(
        whole.label,
        {partition: end for partition, (_, end) in whole.ranges.items()},
        {partition: len(records) for partition, records in make_log(2, LABELS).items()},
    )
    assert {start for start, _ in whole.ranges.values()} == {0}


def test_a_sample_is_the_same_for_the_same_window(small_settings: Settings) -> None:
    window = join_windows(windows(make_log(2, LABELS, users=40)))
    taken = PlannedWindow(window, [window.label], 0.5)
    assert sampled_examples(taken, 17) == sampled_examples(taken, 17) != sampled_examples(taken, 18)
    share = len(sampled_examples(taken, 17)) / len(window.examples)
    assert 0.35 < share < 0.65
