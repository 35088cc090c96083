"""Snapshots of plain folders, on a local disk, in memory and over S3."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from everfresh.adapters.state.snapshots import (
    SNAPSHOT_FORMAT,
    Origin,
    SnapshotManifest,
    SnapshotStore,
)
from everfresh.contracts.errors import SettingsError, SnapshotError

ORIGIN = Origin("cluster", "t.events", "id", 3)
STATE = {"000001.sst": b"a" * 1000, "000002.sst": b"b" * 2000, "CURRENT": b"MANIFEST-000003\n"}


class Place:
    """A store, and the file system below it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = SnapshotStore(url, ORIGIN.topic, ORIGIN.partition)
        self.files: Any
        self.files, root = fsspec.core.url_to_fs(url)
        self.root = f"{root}/t.events-3"

    def save(self, state: Path, applied: int, keep: int = 2, **more: Any) -> int:
        at = more.pop("at", 1000 + applied)
        about = SnapshotManifest(SNAPSHOT_FORMAT, more.pop("origin", ORIGIN), applied, at, [])
        return self.store.save(about, state, keep, more.pop("proceed", lambda: None))[1]

    def kept(self) -> list[int]:
        return [self.manifest(name).applied for name in self.store.names()]

    def manifest(self, name: str) -> SnapshotManifest:
        manifest = self.store.manifest(name)
        assert manifest is not None
        return manifest

    def contents(self) -> set[str]:
        paths = self.files.find(f"{self.root}/files")
        return {path.rpartition("/")[2] for path in paths}


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.integration)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(str(tmp_path / "snapshots"))
    name = uuid.uuid4().hex
    if request.param == "s3":
        request.getfixturevalue("s3_server")
        fsspec.filesystem("s3").mkdir(name)
    return Place(f"{request.param}://{name}/s")


def folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir(exist_ok=True)
    for left in path.iterdir():
        left.unlink()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def restored(place: Place, name: str, target: Path) -> dict[str, bytes]:
    arrived: list[int] = []
    manifest = place.manifest(name)
    place.store.restore(manifest, folder(target, {}), arrived.append)
    assert sum(arrived) == manifest.bytes
    return {path.name: path.read_bytes() for path in target.iterdir()}


def test_what_was_saved_comes_back(place: Place, tmp_path: Path) -> None:
    assert place.store.names() == []
    place.save(folder(tmp_path / "state", STATE), 7)
    (name,) = SnapshotStore(place.url, ORIGIN.topic, ORIGIN.partition).names()
    assert place.manifest(name).origin == ORIGIN
    assert restored(place, name, tmp_path / "back") == STATE


def test_files_that_are_there_already_are_not_uploaded_again(place: Place, tmp_path: Path) -> None:
    state = folder(tmp_path / "state", STATE)
    assert place.save(state, 7) == sum(map(len, STATE.values()))
    (state / "000003.sst").write_bytes(b"c" * 50)
    assert place.save(state, 8) == 50
    again = Place(place.url)
    (state / "CURRENT").write_bytes(b"other")
    assert again.save(state, 9) == 5


def test_older_snapshots_go_with_the_files_that_no_other_needs(
    place: Place, tmp_path: Path
) -> None:
    for applied in range(1, 5):
        state = {**STATE, "CURRENT": b"%d" % applied}
        place.save(folder(tmp_path / "state", state), applied)
    assert place.kept() == [4, 3]
    assert len(place.contents()) == 4  # two files of all, and one of each that is kept
    for name in place.store.names():
        restored(place, name, tmp_path / "back")


def test_the_snapshot_that_reaches_furthest_stays_whatever_two_machines_clocks_say(
    place: Place, tmp_path: Path
) -> None:
    state = folder(tmp_path / "state", STATE)
    for applied, at in ((10, 7_200_000), (20, 7_300_000), (30, 3_700_000)):
        place.save(state, applied, at=at)
    assert place.kept() == [30, 20]


def test_snapshots_of_another_log_are_left_alone(place: Place, tmp_path: Path) -> None:
    other = Origin("elsewhere", ORIGIN.topic, "id", 3)
    place.save(folder(tmp_path / "state", {"CURRENT": b"theirs"}), 90, origin=other)
    for applied in (1, 2, 3):
        place.save(folder(tmp_path / "state", {"CURRENT": b"%d" % applied}), applied, keep=1)
    assert place.kept() == [90, 3]
    assert restored(place, place.store.names()[0], tmp_path / "back") == {"CURRENT": b"theirs"}


@pytest.mark.parametrize("steps", range(4))
def test_killed_during_upload_the_snapshot_does_not_exist_and_the_next_one_clears_up(
    place: Place, tmp_path: Path, steps: int
) -> None:
    class Killed(Exception):
        pass

    left = [steps]

    def proceed() -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1

    place.save(folder(tmp_path / "state", {"CURRENT": b"old"}), 1)
    changed = {name: data + b"!" for name, data in STATE.items()}
    with pytest.raises(Killed):
        place.save(folder(tmp_path / "state", changed), 2, proceed=proceed)
    assert place.kept() == [1]
    assert restored(place, place.store.names()[0], tmp_path / "back") == {"CURRENT": b"old"}
    place.save(folder(tmp_path / "state", STATE), 3, keep=1)
    assert place.kept() == [3]
    assert len(place.contents()) == len(STATE)


def test_a_snapshot_that_was_cut_short_at_its_manifest_or_its_deletion_leaves_nothing(
    tmp_path: Path,
) -> None:
    place = Place(str(tmp_path / "snapshots"))
    (tmp_path / "snapshots" / "t.events-3" / "s00000000000000000001-0000000001001").mkdir(
        parents=True
    )
    place.save(folder(tmp_path / "state", STATE), 3)
    assert len(place.store.names()) == 1


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            # A disk says how long a file is; of an object no more is read than one byte too many.
            lambda place, sha: place.files.pipe_file(sha, b"x" * 10_000),
            "has (10,000|more than 1,000) bytes",
        ),
        (lambda place, sha: place.files.pipe_file(sha, b""), "sha256"),
        (lambda place, sha: place.files.rm_file(sha), "is missing"),
    ],
)
def test_a_damaged_file_is_named(
    place: Place, tmp_path: Path, damage: Callable[[Place, str], None], words: str
) -> None:
    place.save(folder(tmp_path / "state", STATE), 7)
    (name,) = place.store.names()
    file = next(f for f in place.manifest(name).files if f.name == "000001.sst")
    damage(place, f"{place.root}/files/{file.sha256}")
    with pytest.raises(SnapshotError, match=f"file 000001.sst of {name}.*{words}") as raised:
        restored(place, name, tmp_path / "back")
    assert raised.value.reason == "corrupt"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"applied":7', b'"applied":8', "corrupt"),
        (b'"format":1', b'"format":2', "foreign"),
        (b"000001.sst", b"../../evil", "corrupt"),
        (b'"bytes":', b'"bytes":1000000000', "corrupt"),
        (b'"bytes":', b'"bytes":-', "corrupt"),
        (b'"format":', b" " * 2**26 + b'"format":', "corrupt"),
        (b"{", b"[", "corrupt"),
    ],
)
def test_a_damaged_or_foreign_manifest_is_named(
    place: Place, tmp_path: Path, old: bytes, new: bytes, reason: str
) -> None:
    place.save(folder(tmp_path / "state", STATE), 7)
    (name,) = place.store.names()
    path = f"{place.root}/{name}/manifest.json"
    place.files.pipe_file(path, place.files.cat_file(path).replace(old, new, 1))
    with pytest.raises(SnapshotError, match=name) as raised:
        place.store.manifest(name)
    assert raised.value.reason == reason
    place.save(folder(tmp_path / "state", {"CURRENT": b"new"}), 9, keep=1)
    assert len(place.contents()) == len(STATE) + 1  # nobody knows what it still needs


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SnapshotStore(str(tmp_path / "file"), ORIGIN.topic, 0)
    with pytest.raises(SnapshotError, match=r"state\.snapshot_url") as raised:
        store.save(SnapshotManifest(SNAPSHOT_FORMAT, ORIGIN, 1, 1, []), tmp_path, 1, lambda: None)
    assert raised.value.reason == "unreachable"
    with pytest.raises(SettingsError, match=r"state\.snapshot_url"):
        SnapshotStore("nonsense://x", ORIGIN.topic, 0)
