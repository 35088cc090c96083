"""New versions of every live track are pushed, each to the replicas' line of that track."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.serving.versions.push_tracks import TrackPushers
from everfresh.serving.versions.pushed_weights import PushedFiles
from tests.serving.replica_in_memory import Bench, publish
from tests.serving.test_tracks import declare, publish_other, wait_until


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    publish(made.store, 1)
    declare(made)
    publish_other(made, "fast", 1, seed=9)
    made.replica.start()
    yield made
    made.replica.stop()


def test_a_new_version_of_a_track_is_pushed_to_that_track_alone(bench: Bench) -> None:
    sent: list[tuple[str, PushedFiles]] = []
    pushers = TrackPushers(bench.tracks, lambda files, track: sent.append((track, files)), 10)
    assert pushers.step() == 0  # what is current now is left to the replicas' own look
    publish_other(bench, "fast", 2, seed=10)
    assert pushers.step() == 1
    assert pushers.step() == 0
    manifest = bench.tracks.store("fast").manifest(2)
    wanted = {file.digest for file in manifest.files if file.name in manifest.replica_files}
    assert [(track, set(files)) for track, files in sent] == [("fast", wanted)]
    bench.replica.receive(sent[0][1], "fast")
    wait_until(lambda: bench.replica.status().figures["tracks"]["fast"]["version"] == 2)
    bench.replica.receive(sent[0][1], "gone")  # a track that has ended meanwhile: nobody's


def test_tracks_that_are_frozen_ended_or_cannot_be_read_are_not_pushed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench.replica.stop()  # which looks at the same tracks
    bench.tracks.look_s = 0.0
    sent: list[str] = []
    pushers = TrackPushers(bench.tracks, lambda files, track: sent.append(track), 10)
    pushers.step()
    track = bench.tracks.declared()["fast"]
    bench.tracks.declare(msgspec.structs.replace(track, state="frozen"))
    publish_other(bench, "fast", 2, seed=10)
    assert pushers.step() == 0

    def broken() -> None:
        raise OSError("the bucket is away")

    monkeypatch.setattr(bench.tracks, "declared", broken)
    assert [pushers.step() for _ in range(3)] == [0, 0, 0]
    assert caplog.text.count("versions of tracks are not pushed: OSError: the bucket") == 1
    assert sent == []


def test_the_default_track_is_pushed_as_before(bench: Bench) -> None:
    sent: list[str] = []
    pushers = TrackPushers(bench.tracks, lambda files, track: sent.append(track), 5)
    pushers.start()
    try:
        wait_until(lambda: pushers._default._pushed is not None)
        publish(bench.store, 2)
        wait_until(lambda: bool(sent))
    finally:
        pushers.stop()
    assert sent == [DEFAULT]
