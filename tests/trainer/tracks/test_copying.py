"""How a track starts, goes on beside the default one, and becomes the default one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from everfresh.adapters.weights.rollback import roll_back
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import SettingsError, TrackRefused, VersionNotFound
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.manifest import Pointer
from everfresh.trainer.tracks.copying import promote, start_track
from tests.trainer.tracks.track_bench import LABELS, TrackBench

ALL = len(LABELS)


@pytest.fixture
def bench(tmp_path: Path) -> TrackBench:
    return TrackBench(tmp_path)


def test_two_tracks_with_equal_settings_have_bit_identical_versions(bench: TrackBench) -> None:
    bench.reveal(2)
    bench.run_tracks()
    bench.start_track("same")
    bench.start_track("copy", "same")
    bench.reveal(ALL)
    bench.run_tracks()
    assert len(bench.contents(DEFAULT)) == ALL
    assert bench.contents("same", 2) == bench.contents("copy", 2) == bench.contents(DEFAULT, 2)
    assert bench.contents("same", 1) == bench.contents(DEFAULT, 1), "the version it started from"


def test_a_track_that_starts_late_is_compared_with_the_same_versions(tmp_path: Path) -> None:
    bench = TrackBench(tmp_path, labels=list(range(3, 10)))
    bench.reveal(6)
    bench.run_tracks()
    bench.start_track("same")
    held = bench.tracks.store("same").versions()
    assert held == [1, 3, 4, 5, 6], "the frozen one, parents of probations, and its own"
    bench.reveal(7)
    bench.run_tracks()
    assert bench.contents("same", 6) == bench.contents(DEFAULT, 6) != []


def test_versions_that_are_kept_as_deltas_are_bit_identical_too(tmp_path: Path) -> None:
    bench = TrackBench(tmp_path)
    bench.tracks = FsspecTracks(bench.settings)
    bench.reveal(3)
    bench.run_tracks()
    bench.start_track("same")
    bench.reveal(ALL)
    bench.run_tracks()
    assert bench.contents("same", 2) == bench.contents(DEFAULT, 2)
    assert bench.manifests("same")[-1].depth > 0
    loaded = [bench.tracks.store(name) for name in (DEFAULT, "same")]
    newest = [bench.manifests(name)[-1] for name in (DEFAULT, "same")]
    for file in newest[0].files:
        one, other = (at.read(of, file.name) for at, of in zip(loaded, newest, strict=True))
        assert one == other


def test_two_tracks_from_nothing_are_bit_identical_to_the_default_one(bench: TrackBench) -> None:
    bench.reveal(ALL)
    bench.run_tracks()
    bench.start_track("again", "nothing")
    bench.run_tracks()
    assert bench.contents("again") == bench.contents(DEFAULT)
    assert [manifest.origin for manifest in bench.manifests("again")] == [""] * ALL


def test_a_track_with_settings_of_its_own_learns_by_them_and_by_nothing_else(
    bench: TrackBench,
) -> None:
    bench.reveal(2)
    bench.run_tracks()
    bench.start_track("fast", trainer__learning_rate=0.015)
    bench.start_track("small", "nothing", model__dim=4, trainer__strategy="finetune")
    bench.reveal(ALL)
    bench.run_tracks()
    undisturbed = TrackBench(bench.settings.home)
    undisturbed.reveal(ALL)
    undisturbed.run_tracks()
    assert bench.contents(DEFAULT) == undisturbed.contents(DEFAULT)
    fast, small = bench.manifests("fast"), bench.manifests("small")
    assert [each.version for each in fast] == [1, *range(2, ALL + 1)]
    assert {tuple(each.tuning.items()) for each in fast} == {(("trainer.learning_rate", 0.015),)}
    assert bench.contents("fast", 2) != bench.contents(DEFAULT, 2)
    assert small[-1].model["dim"] == 4
    assert small[-1].label == LABELS[-1]


@pytest.mark.parametrize(
    ("name", "origin", "tuning", "error", "words"),
    [
        ("a", "default", {"model.dim": 4}, SettingsError, "model.dim=8"),
        ("a", "default", {"trainer.strategy": "ewc"}, SettingsError, "trainer.strategy=ewc"),
        ("a", "default", {"trainer.workers": 2}, SettingsError, "all tracks have one value"),
        ("a", "default", {"trainer.learnig_rate": 1}, SettingsError, "trainer.learning_rate"),
        ("a", "default", {"serving.port": 1}, SettingsError, "no such setting"),
        ("a", "nothing", {"trainer.epochs": 0}, SettingsError, "trainer.epochs"),
        ("a", "b", {}, TrackRefused, "the tracks are: default"),
        ("default", "nothing", {}, TrackRefused, "meaning of its own"),
        ("a/b", "nothing", {}, TrackRefused, "64 letters"),
    ],
)
def test_a_start_that_cannot_be_is_refused_and_nothing_is_there(
    bench: TrackBench, name: str, origin: str, tuning: dict[str, Any], error: type, words: str
) -> None:
    bench.reveal(1)
    bench.run_tracks()
    source = None if origin == "nothing" else (origin, None)
    with pytest.raises(error, match=words):
        start_track(bench.tracks, name, source, tuning, bench.settings, 5)
    assert bench.tracks.declared() == {}


def test_a_start_from_a_version_that_is_not_there_or_from_a_taken_name_is_refused(
    bench: TrackBench,
) -> None:
    with pytest.raises(TrackRefused, match="has no version yet"):
        bench.start_track("early")
    bench.reveal(1)
    bench.run_tracks()
    with pytest.raises(VersionNotFound):
        start_track(bench.tracks, "a", (DEFAULT, 9), {}, bench.settings, 5)
    bench.start_track("a")
    with pytest.raises(TrackRefused, match="--delete"):
        bench.start_track("a")


def test_a_start_right_after_a_rollback_is_refused(bench: TrackBench) -> None:
    bench.reveal(2)
    bench.run_tracks()
    roll_back(bench.store, 1)
    with pytest.raises(TrackRefused, match="--from default:1"):
        bench.start_track("a")
    start_track(bench.tracks, "a", (DEFAULT, 1), {}, bench.settings, 5)
    assert bench.tracks.store("a").pointer() == Pointer(1, 1)


def test_what_a_start_that_was_cut_short_has_left_is_replaced(bench: TrackBench) -> None:
    bench.reveal(1)
    bench.run_tracks()
    left = bench.tracks.store("a")
    for manifest in bench.manifests(DEFAULT):
        left.write(manifest, {"model.safetensors": b"half"})
    bench.start_track("a")
    assert bench.contents("a") == bench.contents(DEFAULT)


def test_law_8_a_promotion_is_a_pointer_epoch_and_a_rollback_undoes_it(bench: TrackBench) -> None:
    bench.reveal(2)
    bench.run_tracks()
    bench.start_track("fast", trainer__learning_rate=0.015)
    bench.reveal(4)
    bench.run_tracks()
    ours = bench.contents(DEFAULT)
    before, after = promote(bench.tracks, "fast", 7)
    assert (before, after) == (Pointer(1, 4), Pointer(2, 5, promoted="fast"))
    assert bench.store.pointer() == after
    promoted, theirs = bench.store.manifest(5), bench.manifests("fast")[-1]
    assert (promoted.parent, promoted.origin) == (4, "fast:4")
    for name in ("model.safetensors", "vocabulary.safetensors", "optimizer.safetensors"):
        assert bench.store.read(promoted, name) == bench.tracks.store("fast").read(theirs, name)

    bench.reveal(ALL)
    bench.run_tracks()
    went_on = bench.manifests(DEFAULT)[-1]
    assert (went_on.version, went_on.parent) == (6, 5)
    assert went_on.tuning == {"trainer.learning_rate": 0.015}
    assert bench.contents(DEFAULT)[:4] == ours

    roll_back(bench.store, 4)
    bench.reveal(ALL)
    schedule = bench.run_tracks()
    assert schedule.lines[DEFAULT].figures().version == 4
    loop = schedule.lines[DEFAULT]._loop
    assert loop is not None
    assert loop._settings.trainer.learning_rate == bench.settings.trainer.learning_rate


def test_a_promoted_model_of_another_size_is_trained_on_and_rolled_back(bench: TrackBench) -> None:
    bench.reveal(3)
    bench.run_tracks()
    bench.start_track("small", "nothing", model__dim=4)
    bench.run_tracks()
    promote(bench.tracks, "small", 7)
    bench.reveal(4)
    schedule = bench.run_tracks()
    assert schedule.lines[DEFAULT].error is None
    assert [each.model["dim"] for each in bench.manifests(DEFAULT)] == [8, 8, 8, 4, 4]
    roll_back(bench.store, 3)
    bench.reveal(ALL)
    schedule = bench.run_tracks(schedule)
    assert schedule.lines[DEFAULT].error is None
    newest = bench.manifests(DEFAULT)[-1]
    assert (newest.version, newest.parent, newest.model["dim"]) == (6, 3, 8)


def test_a_promoted_track_that_was_frozen_learns_what_it_has_missed(bench: TrackBench) -> None:
    bench.reveal(2)
    bench.run_tracks()
    track = bench.start_track("holdout")
    bench.tracks.declare(msgspec.structs.replace(track, state="frozen"))
    bench.reveal(4)
    bench.run_tracks()
    assert bench.manifests("holdout")[-1].version == 2
    promote(bench.tracks, "holdout", 7)
    bench.run_tracks()
    labels = [manifest.label for manifest in bench.manifests(DEFAULT)]
    assert labels == [*LABELS[:4], LABELS[1], *LABELS[2:4]]


def test_a_promotion_without_a_version_is_refused(bench: TrackBench) -> None:
    bench.start_track("empty", "nothing")
    with pytest.raises(TrackRefused, match="track empty has no version yet"):
        promote(bench.tracks, "empty", 7)


def test_a_promotion_beside_a_rollback_undoes_nothing(
    bench: TrackBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.reveal(3)
    bench.run_tracks()
    bench.start_track("fast")
    advance = bench.store.advance

    def rolled_back_first(pointer: Pointer) -> None:
        monkeypatch.setattr(bench.store, "advance", advance)
        roll_back(bench.store, 1)
        advance(pointer)

    monkeypatch.setattr(bench.store, "advance", rolled_back_first)
    before, after = promote(bench.tracks, "fast", 7)
    assert before == Pointer(2, 1, left=3), "it was made over the rollback, knowingly"
    assert after.epoch == 3
