"""What only a real folder can show: half-written versions, damage, racing writers."""

from __future__ import annotations

import threading
import uuid
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from everfresh.adapters.blobs import LocalBlobs
from everfresh.adapters.weights.rollback import roll_back
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import (
    CorruptVersion,
    SettingsError,
    StalePublish,
    VersionNotFound,
    WeightsError,
)
from everfresh.contracts.manifest import Pointer
from tests.conformance.test_weight_store import FILES, line, manifest, table


@pytest.fixture
def store(tmp_path: Path) -> FsspecWeightStore:
    return FsspecWeightStore(str(tmp_path))


class Killed(Exception):
    """Stands for a process that ends between two steps."""


@pytest.mark.parametrize("steps", range(len(FILES) + 1))
def test_a_version_killed_at_any_step_does_not_exist_and_is_written_anew(
    store: FsspecWeightStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    put, left = LocalBlobs.put, [steps]

    def dying(blobs: LocalBlobs, name: str, data: bytes) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        put(blobs, name, data)

    with monkeypatch.context() as patched:
        patched.setattr(LocalBlobs, "put", dying)
        with pytest.raises(Killed):
            store.write(manifest(1), {**FILES, "other.safetensors": b"of another run"})
    assert store.versions() == []
    with pytest.raises(VersionNotFound):
        store.manifest(1)
    written = store.write(manifest(1), FILES)
    assert {file.name: store.read(written, file.name) for file in written.files} == FILES
    assert sorted(entry.name for entry in (tmp_path / "v0000000001").iterdir()) == [
        *sorted(FILES),
        "manifest.json",
    ]


def test_the_manifest_is_the_last_file_written(
    store: FsspecWeightStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, order = LocalBlobs.put, list[str]()

    def recorded(blobs: LocalBlobs, name: str, data: bytes) -> None:
        order.append(name)
        put(blobs, name, data)

    monkeypatch.setattr(LocalBlobs, "put", recorded)
    store.write(manifest(1), FILES)
    assert order[-1] == "v0000000001/manifest.json"
    assert len(order) == len(FILES) + 1


def test_a_missing_file_of_a_complete_version_is_damage(
    store: FsspecWeightStore, tmp_path: Path
) -> None:
    written = store.write(manifest(1), FILES)
    (tmp_path / "v0000000001" / "dense.safetensors").unlink()
    with pytest.raises(CorruptVersion, match="is missing"):
        store.read(written, "dense.safetensors")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "cannot be read"),
        (b'{"version": 1}', "cannot be read"),
        (None, "names format 2 and version 1"),
        (b'{"format": 9, "version": {"all": "new"}}', "found 9; a newer release of everfresh"),
        (b'{"format": 1, "version": {"all": "new"}}', "cannot be read"),
    ],
)
def test_a_manifest_that_is_not_its_versions_is_damage(
    store: FsspecWeightStore, tmp_path: Path, raw: bytes | None, message: str
) -> None:
    store.write(manifest(1), FILES)
    store.write(manifest(2), FILES)
    other = (tmp_path / "v0000000001" / "manifest.json").read_bytes()
    (tmp_path / "v0000000002" / "manifest.json").write_bytes(other if raw is None else raw)
    with pytest.raises(CorruptVersion, match=message):
        store.manifest(2)


def test_a_manifest_that_names_a_file_elsewhere_is_refused(
    store: FsspecWeightStore, tmp_path: Path
) -> None:
    store.write(manifest(1), FILES)
    path = tmp_path / "v0000000001" / "manifest.json"
    path.write_text(path.read_text().replace("dense.safetensors", "../../secret"))
    with pytest.raises(WeightsError, match="name must be"):
        store.manifest(1)


def test_a_damaged_pointer_is_named(store: FsspecWeightStore, tmp_path: Path) -> None:
    (tmp_path / "pointer.json").write_text("3")
    with pytest.raises(CorruptVersion, match=r"pointer\.json"):
        store.pointer()


def test_other_folders_and_files_are_no_versions(store: FsspecWeightStore, tmp_path: Path) -> None:
    store.write(manifest(1), FILES)
    for name in ("v1", "v0000000002", "w0000000003", "v00000000045"):
        (tmp_path / name).mkdir()
    (tmp_path / "v0000000009").touch()
    assert store.versions() == [1]


def test_of_racing_publishers_of_one_pointer_one_wins(tmp_path: Path) -> None:
    FsspecWeightStore(str(tmp_path)).write(manifest(1), FILES)
    outcomes: list[str] = []

    def publish() -> None:
        try:
            FsspecWeightStore(str(tmp_path)).advance(Pointer(0, 1))
            outcomes.append("won")
        except StalePublish:
            outcomes.append("lost")

    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_law_8_a_publish_under_way_undoes_no_rollback_where_there_is_no_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    trainer, operator = FsspecWeightStore(url), FsspecWeightStore(url)
    for version in (1, 2, 3):
        trainer.write(manifest(version), FILES)
    trainer.advance(Pointer(1, 2))
    put = trainer._blobs.put

    def late(name: str, data: bytes) -> None:
        # The trainer has seen that its pointer is the greater one, and is about to write it.
        roll_back(operator, 1)
        put(name, data)

    with monkeypatch.context() as patched:
        patched.setattr(trainer._blobs, "put", late)
        trainer.advance(Pointer(1, 3))
    assert trainer.pointer() == operator.pointer() == Pointer(2, 1, left=2)
    trainer.write(manifest(4), FILES)
    with pytest.raises(StalePublish):
        trainer.advance(Pointer(1, 4))
    trainer.advance(Pointer(2, 4))
    assert operator.pointer() == Pointer(2, 4)


def test_the_pointer_never_names_a_version_that_is_deleted_meanwhile(
    store: FsspecWeightStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2):
        store.write(manifest(version), FILES)
    store.advance(Pointer(1, 2))
    operator = FsspecWeightStore(str(tmp_path))
    exclusive = operator._blobs.exclusive

    def late() -> AbstractContextManager[None]:
        store.delete(1)
        return exclusive()

    monkeypatch.setattr(operator._blobs, "exclusive", late)
    with pytest.raises(VersionNotFound):
        operator.advance(Pointer(2, 1, 2))
    assert store.pointer() == Pointer(1, 2)


def test_what_a_cut_deletion_left_is_removed_below_the_pointer_alone(
    store: FsspecWeightStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(blobs: LocalBlobs, name: str) -> None:
        raise Killed

    for version in (1, 2, 3):
        store.write(manifest(version), FILES)
    store.advance(Pointer(1, 3))
    with monkeypatch.context() as patched:
        patched.setattr(LocalBlobs, "remove_folder", cut)
        with pytest.raises(Killed):
            store.delete(1)
    for name in ("v0000000004", "rejected"):  # being written by another
        (tmp_path / name).mkdir()
    store.sweep()
    left = sorted(entry.name for entry in tmp_path.iterdir() if entry.is_dir())
    assert left == ["rejected", "v0000000002", "v0000000003", "v0000000004"]
    assert store.versions() == [2, 3]


def test_a_place_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = FsspecWeightStore(str(tmp_path / "file" / "weights"))
    for use in (store.versions, lambda: store.write(manifest(1), FILES)):
        with pytest.raises(WeightsError, match="cannot be used"):
            use()


def test_an_unknown_kind_of_url_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match=r"weights\.url is 'nosuch://x'"):
        FsspecWeightStore("nosuch://x")


def test_between_snapshots_versions_are_kept_as_deltas(tmp_path: Path) -> None:
    line(FsspecWeightStore(str(tmp_path), snapshot_every=4), 10)
    fresh = FsspecWeightStore(str(tmp_path))
    kept = [fresh.manifest(version) for version in fresh.versions()]
    assert [(manifest.delta_of, manifest.depth) for manifest in kept] == [
        *[(None, 0), (1, 1), (2, 2), (3, 3)],
        *[(None, 0), (5, 1), (6, 2), (7, 3)],
        *[(None, 0), (9, 1)],
    ]
    assert {file.name for file in kept[9].stored} == {"items.safetensors.delta", "note"}
    assert fresh.read(kept[7], "items.safetensors") == table(*range(7))


def test_a_reader_that_follows_fetches_deltas_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = FsspecWeightStore(str(tmp_path), snapshot_every=16)
    reader = FsspecWeightStore(str(tmp_path))
    got: list[str] = []
    get = LocalBlobs.get
    monkeypatch.setattr(
        LocalBlobs, "get", lambda blobs, name, most: (got.append(name), get(blobs, name, most))[1]
    )
    for version, written in enumerate(line(writer, 3)):
        assert reader.read(written, "items.safetensors") == table(*range(version))
    assert [name for name in got if "items" in name and "0002" not in name] == [
        "v0000000001/items.safetensors",
        "v0000000003/items.safetensors.delta",
    ]


def test_a_version_that_others_are_deltas_of_cannot_be_deleted(tmp_path: Path) -> None:
    store = FsspecWeightStore(str(tmp_path), snapshot_every=4)
    line(store, 5)
    store.advance(Pointer(0, 5))
    with pytest.raises(WeightsError, match="version 4 is kept as a delta of version 3"):
        store.delete(3)
    for version in (4, 3, 2, 1):
        store.delete(version)
    assert store.versions() == [5]


@pytest.mark.parametrize("harm", ["missing", "truncated", "flipped", "another version's"])
def test_a_damaged_delta_is_refused_and_whole_versions_stay_readable(
    tmp_path: Path, harm: str
) -> None:
    written = line(FsspecWeightStore(str(tmp_path), snapshot_every=4), 5)
    path = tmp_path / "v0000000003" / "items.safetensors.delta"
    raw = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "another version's":
        path.write_bytes((tmp_path / "v0000000002" / path.name).read_bytes())
    else:
        path.write_bytes(raw[:-1] if harm == "truncated" else raw[:-1] + bytes([raw[-1] ^ 1]))
    store = FsspecWeightStore(str(tmp_path))
    named = r"items\.safetensors\.delta of version 3, which leads from version 2,"
    for version in (3, 4):
        with pytest.raises(CorruptVersion, match=named):
            store.read(written[version - 1], "items.safetensors")
    for version in (1, 2, 5):
        assert store.read(written[version - 1], "items.safetensors") == table(*range(version - 1))
