"""One suite for every ``TrackStore``."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from everfresh.adapters.memory import MemoryTracks
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import TrackRefused
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import MOST_LIVE, Track
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.ports import TrackStore
from everfresh.contracts.settings import load_settings
from tests.conformance.test_weight_store import FILES, manifest


@pytest.fixture(params=["memory", "local", "remote"])
def tracks(request: pytest.FixtureRequest, tmp_path: Path) -> TrackStore:
    if request.param == "memory":
        return MemoryTracks()
    remote = f"memory://{uuid.uuid4().hex}/w"
    url = remote if request.param == "remote" else str(tmp_path / "w")
    return FsspecTracks(load_settings({"home": str(tmp_path), "weights": {"url": url}}))


def track(name: str = "fast", **changes: object) -> Track:
    return Track(**{"name": name, "started": 1, "changed": 1, **changes})  # type: ignore[arg-type]


def test_without_declared_tracks_there_is_the_default_one_alone(tracks: TrackStore) -> None:
    assert tracks.declared() == {}
    assert tracks.store(DEFAULT).versions() == []
    assert tracks.stored_bytes(DEFAULT) == 0


def test_what_was_declared_is_read_back_and_replaced_by_name(tracks: TrackStore) -> None:
    tuning = {"trainer.learning_rate": 0.001, "trainer.strategy": "finetune", "model.dim": 32}
    first, other = track(tuning=tuning, origin="default:57"), track("other")
    tracks.declare(first)
    tracks.declare(other)
    assert tracks.declared() == {"fast": first, "other": other}
    frozen = track(tuning=tuning, origin="default:57", state="frozen", changed=9)
    tracks.declare(frozen)
    assert tracks.declared() == {"fast": frozen, "other": other}


def test_each_track_has_versions_and_a_pointer_of_its_own(tracks: TrackStore) -> None:
    for name, version in ((DEFAULT, 1), ("fast", 4), ("slow", 2)):
        tracks.store(name).write(manifest(version), FILES)
        tracks.store(name).advance(Pointer(1, version))
    assert tracks.store(DEFAULT).versions() == [1]
    assert tracks.store("fast").versions() == [4]
    assert tracks.store("slow").pointer() == Pointer(1, 2)
    assert tracks.store(DEFAULT).pointer() == Pointer(1, 1)
    tracks.store(DEFAULT).sweep()
    assert tracks.store("fast").versions() == [4]
    assert tracks.stored_bytes("fast") >= sum(map(len, FILES.values()))


def test_what_is_removed_leaves_the_others_alone(tracks: TrackStore) -> None:
    for name in ("fast", "slow"):
        tracks.declare(track(name))
        tracks.store(name).write(manifest(1), FILES)
    tracks.remove("fast")
    tracks.remove("never-there")
    assert set(tracks.declared()) == {"slow"}
    assert tracks.store("fast").versions() == []
    assert tracks.store("slow").versions() == [1]
    with pytest.raises(TrackRefused, match="meaning of its own"):
        tracks.remove(DEFAULT)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "default", "nothing", "x" * 65, "-a"])
def test_a_name_that_cannot_be_is_refused_everywhere(tracks: TrackStore, name: str) -> None:
    with pytest.raises(TrackRefused):
        tracks.declare(track(name))
    if name != DEFAULT:
        with pytest.raises(TrackRefused):
            tracks.store(name)


def test_a_track_too_many_is_refused_and_an_ended_one_makes_room(tracks: TrackStore) -> None:
    for number in range(MOST_LIVE):
        tracks.declare(track(f"t{number}"))
    with pytest.raises(TrackRefused, match="everfresh tracks end"):
        tracks.declare(track("more"))
    tracks.declare(track("t0", state="ended"))
    tracks.declare(track("more"))
    assert tracks.declared()["t0"].state == "ended"
