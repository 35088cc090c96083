"""Which processes there are for tracks that are trained beside the default one."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
import pytest

from everfresh.adapters.memory import MemoryTracks
from everfresh.contracts.errors import SettingsError, WeightsError
from everfresh.contracts.experiments.track import Track
from everfresh.trainer.run import RunStatus
from everfresh.trainer.scoring.reporting import Figures
from everfresh.trainer.track_actors import TrackActors

RUNNING = RunStatus("running", None, Figures())
FAST, SLOW = (Track(name=name, started=1, changed=1) for name in ("fast", "slow"))


class FakeHold:
    """A process that says what it is told to."""

    def __init__(self, track: str) -> None:
        self.track = track
        self.status: RunStatus | None = RUNNING
        self.ended = False

    def ask(self, wait_s: float) -> RunStatus | None:
        assert wait_s == 0.0, "one track's process must not keep the driver from the others"
        return self.status


class Cluster:
    """Makes processes, and has them all."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.full: Exception | None = None
        self.made: list[FakeHold] = []
        self.tracks = MemoryTracks(look_s=0.0)
        self.actors: TrackActors[FakeHold] = TrackActors(
            self.tracks, self.start, self.end, lambda: self.now_s
        )

    def start(self, track: str) -> FakeHold:
        if self.full is not None:
            raise self.full
        self.made.append(FakeHold(track))
        return self.made[-1]

    def end(self, holds: Sequence[FakeHold]) -> None:
        for hold in holds:
            hold.ended = True

    def running(self) -> list[str]:
        return [hold.track for hold in self.made if not hold.ended]


def test_there_is_a_process_for_each_live_track_and_for_no_other() -> None:
    cluster = Cluster()
    cluster.actors.look()
    assert cluster.made == []
    cluster.tracks.declare(SLOW)
    cluster.tracks.declare(FAST)
    cluster.tracks.declare(Track(name="cold", state="frozen", started=1, changed=1))
    for _ in range(3):
        cluster.actors.look()
    assert cluster.running() == ["fast", "slow"]
    cluster.tracks.declare(msgspec.structs.replace(FAST, state="frozen"))
    cluster.actors.look()
    assert cluster.running() == ["slow"]
    cluster.tracks.declare(msgspec.structs.replace(FAST, state="live"))
    cluster.actors.look()
    assert cluster.running() == ["slow", "fast"]
    assert [hold.track for hold in cluster.actors.holds()] == ["slow", "fast"]


def test_declared_tracks_are_read_as_seldom_as_their_store_says_and_processes_seen_to_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, read = Cluster(), list[float]()
    cluster.tracks.look_s = 5.0
    cluster.tracks.declare(FAST)
    declared = cluster.tracks.declared

    def noted() -> dict[str, Track]:
        read.append(cluster.now_s)
        return declared()

    monkeypatch.setattr(cluster.tracks, "declared", noted)
    for _ in range(11):
        cluster.actors.look()
        cluster.now_s += 1.0
    assert read == [100.0, 105.0, 110.0]
    cluster.made[0].status = RunStatus("failed", "no broker answers", Figures())
    cluster.actors.look()
    assert cluster.running() == []


def test_a_process_that_has_failed_is_begun_anew_after_a_pause_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    cluster.tracks.declare(FAST)
    cluster.tracks.declare(SLOW)
    cluster.actors.look()
    cluster.made[0].status = RunStatus("failed", "no broker answers", Figures())
    cluster.actors.look()
    cluster.actors.look()
    assert cluster.running() == ["slow"]
    cluster.now_s += 5.0
    cluster.actors.look()
    assert cluster.running() == ["slow", "fast"]
    cluster.made[-1].status = RunStatus("failed", "no broker answers", Figures())
    cluster.actors.look()
    cluster.now_s += 5.0
    cluster.actors.look()
    assert cluster.running() == ["slow"], "the second pause is longer"
    assert cluster.actors.causes() == {"fast": "no broker answers"}
    cluster.now_s += 5.0
    cluster.actors.look()
    cluster.actors.look()
    assert cluster.actors.causes() == {}, "it runs"
    said = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert said == ["track fast stands still, and is tried again: no broker answers"]


def test_a_process_that_cannot_be_made_is_said_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    cluster.tracks.declare(FAST)
    cluster.full = SettingsError("the name is taken")
    for _ in range(3):
        cluster.actors.look()
        cluster.now_s += 200.0
    assert len([record for record in caplog.records if "the name is taken" in record.message]) == 1
    assert cluster.actors.causes() == {"fast": "the name is taken"}
    cluster.full = None
    cluster.actors.look()
    assert cluster.running() == ["fast"]


def test_a_process_that_ray_has_no_room_for_is_said_and_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    cluster.tracks.declare(FAST)
    cluster.actors.look()
    cluster.made[0].status = None
    cluster.actors.look()
    assert cluster.actors.causes() == {}, "it may take its time to start"
    for _ in range(4):
        cluster.now_s += 50.0
        cluster.actors.look()
    assert "everfresh tracks end fast" in cluster.actors.causes()["fast"]
    assert cluster.running() == ["fast"]
    assert len([record for record in caplog.records if "`ray status`" in record.message]) == 1


def test_while_tracks_cannot_be_read_the_processes_that_there_are_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster()
    cluster.tracks.declare(FAST)
    cluster.actors.look()

    def broken() -> dict[str, Track]:
        raise WeightsError("the bucket does not answer")

    monkeypatch.setattr(cluster.tracks, "declared", broken)
    cluster.actors.look()
    cluster.actors.look()
    assert cluster.running() == ["fast"]
    assert len([each for each in caplog.records if "does not answer" in each.message]) == 1
