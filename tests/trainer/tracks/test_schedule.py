"""Several tracks in one trainer: turns, failures, kills, and what each costs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from everfresh.contracts.errors import CorruptVersion, WeightsError
from everfresh.contracts.experiments.definition import DEFAULT, Arm
from everfresh.contracts.experiments.track import Audience
from everfresh.contracts.items.record import Item
from everfresh.model import trend_learning
from everfresh.model.cold_items import WithCold
from everfresh.model.content.features import features_of
from everfresh.model.trends import tail
from everfresh.trainer.checkpoint import load_served
from everfresh.trainer.contents import KnownContents
from everfresh.trainer.loop import TrainerLoop
from everfresh.trainer.scoring.prequential import Served
from everfresh.trainer.tracks import line as line_module
from everfresh.trainer.tracks import schedule as schedule_module
from tests.contracts.experiments.definitions import define
from tests.trainer.logs import make_log, windows_of
from tests.trainer.tracks.track_bench import LABELS, TrackBench, nothing

ALL = len(LABELS)


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackBench:
    monkeypatch.setattr(line_module, "_FIRST_PAUSE_S", 0.0)
    made = TrackBench(tmp_path)
    made.reveal(2)
    made.run_tracks()
    return made


def test_each_track_has_its_turn_and_reports_under_its_own_name(bench: TrackBench) -> None:
    bench.start_track("fast", trainer__learning_rate=0.015)
    bench.reveal(ALL)
    schedule = bench.schedule()
    turns = [[name for name, _ in schedule.round(0)] for _ in range(3)]
    assert turns == [[DEFAULT, "fast"]] * 3
    told = {(report.track, report.label) for report in bench.reports.windows}
    assert {(name, label) for name in (DEFAULT, "fast") for label in LABELS[2:]} <= told


def test_law_4_every_track_is_scored_on_the_same_windows(bench: TrackBench) -> None:
    bench.start_track("fast", trainer__learning_rate=0.015)
    bench.reveal(ALL)
    bench.run_tracks()
    events = {
        name: {each.label: each.events for each in bench.reports.windows if each.track == name}
        for name in (DEFAULT, "fast")
    }
    assert {label: events["fast"][label] for label in LABELS[2:]} == {
        label: events[DEFAULT][label] for label in LABELS[2:]
    }


@pytest.mark.parametrize("struck", ["fast", DEFAULT])
def test_a_track_that_fails_stops_no_other_and_goes_on_when_it_can(
    bench: TrackBench, struck: str
) -> None:
    bench.start_track("fast", trainer__learning_rate=0.015)
    bench.reveal(ALL)

    def blow(track: str, loop: TrainerLoop | None, step: str) -> None:
        if track == struck and step == "train":
            raise CorruptVersion("a bad disk")

    bench.blow = blow
    schedule = bench.run_tracks()
    other = DEFAULT if struck == "fast" else "fast"
    assert schedule.lines[other].figures().version == ALL
    assert schedule.lines[struck].figures().version == 2
    said = schedule.lines[struck].status("running", 9)
    assert (said.state, said.figures["failed"]) == ("failed", "a bad disk")
    assert said.figures["alarms"] >= 1
    assert schedule.lines[other].status("running", 9).state == "running"
    bench.blow = nothing
    bench.run_tracks(schedule)
    assert schedule.lines[struck].figures().version == ALL
    assert schedule.lines[struck].status("running", 9).state == "running"


def test_a_track_that_is_held_stops_no_other(bench: TrackBench) -> None:
    bench.start_track("held", gate__norm_jump=1.0001, gate__patience=0)
    bench.reveal(ALL)
    schedule = bench.run_tracks()
    assert schedule.lines[DEFAULT].figures().version == ALL
    assert schedule.lines[DEFAULT].figures().held == 0


def test_once_no_track_can_be_trained_the_trainer_ends_with_the_default_ones_line(
    bench: TrackBench,
) -> None:
    bench.start_track("fast")
    bench.reveal(ALL)

    def blow(track: str, loop: TrainerLoop | None, step: str) -> None:
        if step == "score":
            raise WeightsError(f"{track} cannot be written")

    bench.blow = blow
    with pytest.raises(WeightsError, match="default cannot be written"):
        bench.run_tracks()


def test_killed_at_every_step_of_every_track_each_reaches_the_same_versions(
    bench: TrackBench, tmp_path: Path
) -> None:
    """Law 5, per track."""
    calm = TrackBench(tmp_path)
    for each in (bench, calm):
        if each is calm:
            each.reveal(2)
            each.run_tracks()
        each.start_track("fast", trainer__learning_rate=0.015)
        each.reveal(4)
    calm.run_tracks()
    before: set[tuple[object, ...]] = set()

    def blow(track: str, loop: TrainerLoop | None, step: str) -> None:
        place = (track, loop and loop.figures.version, loop and loop.progress.label, step)
        if loop is not None and place not in before:
            before.add(place)
            raise Killed

    bench.blow = blow
    kills = 0
    for _ in range(1_000):
        try:
            bench.run_tracks()
            break
        except Killed:
            kills += 1
    assert kills >= 2 * 2 * 7
    for name in (DEFAULT, "fast"):
        assert bench.contents(name) == calm.contents(name)


def test_a_track_that_is_frozen_is_trained_no_more_and_goes_on_where_it_was(
    bench: TrackBench,
) -> None:
    track = bench.start_track("holdout")
    schedule = bench.schedule()
    bench.tracks.declare(msgspec.structs.replace(track, state="frozen"))
    bench.reveal(4)
    bench.run_tracks(schedule)
    assert set(schedule.lines) == {DEFAULT}
    assert bench.manifests("holdout")[-1].version == 2
    bench.tracks.declare(track)
    bench.reveal(ALL)
    bench.run_tracks(schedule)
    assert bench.contents("holdout", 2) == bench.contents(DEFAULT, 2)


def test_law_4_a_frozen_track_is_scored_on_every_window_and_learns_none(bench: TrackBench) -> None:
    bench.reveal(2)
    bench.run_tracks()
    track = bench.start_track("holdout")
    bench.tracks.declare(msgspec.structs.replace(track, state="frozen"))
    before = bench.contents("holdout")
    bench.reveal(ALL)
    schedule = bench.run_tracks()
    told = {
        name: {each.label: each for each in bench.reports.windows if each.track == name}
        for name in (DEFAULT, "holdout")
    }
    assert set(told["holdout"]) == set(LABELS[2:])
    for label, report in told["holdout"].items():
        assert report.events == told[DEFAULT][label].events
        assert (report.version, report.scored_version) == (2, 2)
        assert set(report.scores) == {"live"}
        assert report.fresh == told[DEFAULT][label].fresh or label != LABELS[2]
    # Of one version, on one window: what the default track had then.
    first = LABELS[2]
    assert told["holdout"][first].scores["live"] == told[DEFAULT][first].scores["live"]
    assert bench.contents("holdout") == before
    said = schedule.frozen["holdout"].status("running", 9)
    assert said.figures["hr10"] == told["holdout"][LABELS[-1]].scores["live"]["hr10"]
    assert (said.figures["version"], said.figures["windows"]) == (2, 0)
    assert said.figures["processor_per_window_s"] >= 0


def test_a_frozen_track_leaves_nothing_unlearnt_of_a_window_that_it_does_not_learn(
    tmp_path: Path,
) -> None:
    bench = TrackBench(tmp_path)
    bench.whole = make_log(2, LABELS, distort=lambda label, items: [*items, *items[:2]])
    tuning = bench.settings.trainer.model_copy(update={"curate": True})
    bench.settings = bench.settings.model_copy(update={"trainer": tuning})
    bench.reveal(2)
    bench.run_tracks()
    track = bench.start_track("holdout")
    bench.tracks.declare(msgspec.structs.replace(track, state="frozen"))
    bench.reveal(ALL)
    bench.run_tracks()
    live = [each for each in bench.reports.windows if each.track == DEFAULT]
    frozen = [each for each in bench.reports.windows if each.track == "holdout"]
    assert min(each.curated for each in live) > 0
    assert {each.curated for each in frozen} == {0}


def test_law_4_a_frozen_track_is_ranked_with_its_tail_and_cold_items_as_a_live_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (tail, trend_learning):
        monkeypatch.setattr(module, "BLOCK", 4)
    known = {n: features_of(Item(id=n, attributes={"k": str(n % 3)})) for n in range(1, 99)}
    monkeypatch.setattr(KnownContents, "newest", known)
    monkeypatch.setattr(KnownContents, "find", lambda self, item: known.get(item))
    monkeypatch.setattr(KnownContents, "__bool__", lambda self: True)
    bench = TrackBench(tmp_path)
    bench.whole = make_log(2, LABELS, users=30, items=60)
    bench.reveal(2)
    bench.run_tracks()
    track = bench.start_track("holdout")
    bench.tracks.declare(msgspec.structs.replace(track, state="frozen"))
    bench.reveal(3)
    bench.run_tracks()
    live, frozen = (each for each in bench.reports.windows if each.label == LABELS[2])
    assert (live.track, frozen.track) == (DEFAULT, "holdout")
    assert frozen.scores["live"] == live.scores["live"]
    store, examples = bench.tracks.store("holdout"), windows_of(bench.whole)[2].examples
    model = load_served(store, store.manifest(2))
    ways = [model, WithCold(model, known), Served(WithCold(model, known), True, None)]
    alone, with_cold, with_tail = (way.ranks(examples, False).tolist() for way in ways)
    assert alone != with_cold != with_tail, "or they are not told apart here"
    served = Served(WithCold(model, known), True, None)
    assert served.several(examples, False).keys() == {"live"}, "no gate asks for more"


def test_a_frozen_track_that_cannot_be_read_says_so_and_stops_nobody(
    bench: TrackBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.reveal(2)
    bench.run_tracks()
    for name, kept in (("holdout", 1), ("empty", 0)):
        track = bench.start_track(name, "default" if kept else "nothing")
        bench.tracks.declare(msgspec.structs.replace(track, state="frozen"))
    files = bench.tracks.store("holdout").manifest(2).replica_files
    bench.tracks.store("holdout").damage(2, next(iter(files)), b"half")
    bench.reveal(ALL)
    schedule = bench.run_tracks()
    assert {each.track for each in bench.reports.windows} == {DEFAULT}
    assert len(bench.manifests(DEFAULT)) == len(LABELS)
    said = schedule.frozen["holdout"].status("running", 9)
    assert said.state == "failed"
    assert said.figures["failed"]
    assert caplog.text.count("frozen track holdout is not scored") == 1
    assert schedule.frozen["empty"].status("running", 9).figures["failed"] == ""


def test_a_track_that_was_ended_and_started_anew_is_another_one(bench: TrackBench) -> None:
    bench.start_track("fast")
    schedule = bench.run_tracks()
    first = schedule.lines["fast"]
    bench.tracks.remove("fast")
    again = bench.start_track("fast", "nothing")
    bench.tracks.declare(msgspec.structs.replace(again, started=99))
    bench.run_tracks(schedule)
    assert schedule.lines["fast"] is not first
    assert [each.version for each in bench.manifests("fast")] == [1, 2]


def test_tracks_that_cannot_be_read_leave_those_that_are_known(
    bench: TrackBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.start_track("fast")
    schedule = bench.schedule()

    def broken() -> None:
        raise CorruptVersion("tracks.json cannot be read")

    monkeypatch.setattr(bench.tracks, "declared", broken)
    bench.reveal(ALL)
    bench.run_tracks(schedule)
    assert schedule.lines["fast"].figures().version == ALL


def test_what_a_track_costs_is_in_its_status(bench: TrackBench) -> None:
    bench.start_track("fast")
    bench.reveal(ALL)
    schedule = bench.run_tracks()
    for line in schedule.lines.values():
        figures = line.status("running", 1).figures
        assert figures["processor_s"] > 0
        assert figures["processor_per_window_s"] == pytest.approx(
            figures["processor_s"] / (ALL - 2), abs=1e-3
        )
    said = schedule.lines["fast"].status("running", 1)
    assert (said.component, said.kind) == ("track-fast", "track")
    assert schedule.lines[DEFAULT].status("running", 1).component == "trainer"


def test_law_3_a_diverted_track_learns_from_its_own_users_and_counts_what_it_left_to_others(
    bench: TrackBench,
) -> None:
    bench.start_track("same")
    own = Audience.of(define("green", arms=[Arm("a", 0.5), Arm("b", 0.5, "same")]), "same")
    bench.tracks.declare(msgspec.structs.replace(bench.tracks.declared()["same"], audience=own))
    bench.reveal(ALL)
    bench.run_tracks()
    learnt = {each.label: each for each in bench.manifests("same")[2:]}
    whole = {each.label: each for each in bench.manifests(DEFAULT)[2:]}
    assert set(learnt) == set(whole)
    for label, events in targets_by_user(bench).items():
        if label in learnt:
            others = sum(number for user, number in events.items() if not own.holds(user))
            assert learnt[label].diverted == others
            assert whole[label].diverted == 0
    assert sum(each.diverted for each in learnt.values()) > 0
    assert learnt[LABELS[-1]].events < whole[LABELS[-1]].events
    # What others did is seen all the same: their items are known, and every event is scored.
    assert learnt[LABELS[-1]].items == whole[LABELS[-1]].items
    told = {(each.track, each.label): each.events for each in bench.reports.windows}
    assert all(told["same", label] == told[DEFAULT, label] for label in LABELS[2:])


def test_a_diverted_track_without_a_user_of_its_own_learns_nothing_and_goes_on(
    bench: TrackBench,
) -> None:
    bench.start_track("same")
    nobody = Audience("green", "green", [(0.0, 0.0)])
    bench.tracks.declare(msgspec.structs.replace(bench.tracks.declared()["same"], audience=nobody))
    bench.reveal(ALL)
    schedule = bench.run_tracks()
    assert schedule.lines["same"].error is None
    assert schedule.lines["same"].figures().held == 0
    assert bench.manifests("same")[-1].label == LABELS[-1]


def test_a_ramp_takes_hold_of_a_diverted_track_while_it_is_trained(bench: TrackBench) -> None:
    track = bench.start_track("same")
    arms = [Arm("a", 0.5), Arm("b", 0.5, "same")]
    few, more = (Audience.of(define("g", arms=arms, coverage=each), "same") for each in (0.2, 1.0))
    bench.tracks.declare(msgspec.structs.replace(track, audience=few))
    schedule = bench.schedule()
    bench.reveal(3)
    bench.run_tracks(schedule)
    bench.tracks.declare(msgspec.structs.replace(track, audience=more))
    bench.reveal(4)
    bench.run_tracks(schedule)
    left = [each.diverted for each in bench.manifests("same")[2:]]
    events = targets_by_user(bench)
    for label, audience, diverted in zip(LABELS[2:4], (few, more), left, strict=True):
        others = {user: n for user, n in events[label].items() if not audience.holds(user)}
        assert diverted == sum(others.values())
    assert all(more.holds(user) for user in range(99) if few.holds(user)), "nobody has moved"


def targets_by_user(bench: TrackBench) -> dict[int, dict[int | str, int]]:
    """Window -> user -> events."""
    found: dict[int, dict[int | str, int]] = {}
    for records in bench.whole.values():
        for record in records:
            for example in getattr(record, "examples", []):
                users = found.setdefault(record.label, {})
                users[example.user] = users.get(example.user, 0) + len(example.offsets)
    return found


def test_tracks_that_are_trained_beside_each_other_have_the_versions_they_have_in_turn(
    bench: TrackBench,
) -> None:
    bench.start_track("same")
    bench.start_track("fast", trainer__learning_rate=0.015)
    cold = bench.start_track("cold")
    bench.tracks.declare(msgspec.structs.replace(cold, state="frozen"))
    bench.reveal(ALL)
    beside = [bench.schedule(name) for name in ("fast", DEFAULT, "same")]
    assert [list(each.lines) for each in beside] == [["fast"], [DEFAULT], ["same"]]
    for _ in range(ALL):
        for each in beside:
            each.round(0)
    learnt = bench.contents(DEFAULT, after=2)
    assert len(learnt) == ALL - 2
    assert bench.contents("same", after=2) == learnt
    assert bench.contents("fast", after=2) != learnt
    scored = [each.label for each in bench.reports.windows if each.track == "cold"]
    assert sorted(scored) == LABELS[2:], "the default track's process alone scores frozen ones"
    assert [each.figures().version for each in beside] == [ALL] * 3


def test_a_process_of_one_track_waits_while_that_is_not_live_and_fails_alone(
    bench: TrackBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(schedule_module.time, "sleep", slept.append)
    schedule = bench.schedule("fast")
    assert schedule.round(200) == []
    assert (schedule.lines, schedule.figures().version) == ({}, 0)
    bench.start_track("fast")
    bench.reveal(ALL)
    broken = bench.blow

    def blow(track: str, loop: TrainerLoop | None, step: str) -> None:
        raise WeightsError("no room")

    bench.blow = blow
    schedule.round(200)
    schedule.round(200)
    assert str(schedule.lines["fast"].error) == "no room"
    assert slept
    assert set(slept) == {0.2}, "whoever has nothing to do burns no processor"
    bench.blow = broken
    for _ in range(ALL):
        schedule.round(0)
    assert len(bench.contents("fast", after=2)) == ALL - 2
