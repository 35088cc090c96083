"""One suite for every ``WeightStore``."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import msgspec
import numpy as np
import pytest
from safetensors.numpy import save

from everfresh.adapters.memory import MemoryWeightStore
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import CorruptVersion, StalePublish, VersionNotFound, WeightsError
from everfresh.contracts.manifest import FORMAT, Plan, Pointer, Rejected, WeightManifest
from everfresh.contracts.ports import REJECTED_KEPT, TrainerStore

Damage = Callable[[int, str, bytes], None]
FILES = {"dense.safetensors": b"dense", "items.safetensors": b"i" * 5000}


def manifest(version: int, created_ms: int = 1, events: int = 10) -> WeightManifest:
    return WeightManifest(
        format=FORMAT,
        version=version,
        parent=version - 1 or None,
        label=version,
        created_ms=created_ms,
        trained_through={0: 5, 1: 7},
        windows_read={0: 3},
        files=[],
        model={"dim": 8},
        items=4,
        events=events,
        scores={"hr10": 0.25},
    )


class Stores:
    """Makes one kind of store; ``damage`` overwrites a stored file from outside."""

    def __init__(self, kind: str, tmp_path: Path) -> None:
        self.damage: Damage
        self.store: TrainerStore
        if kind == "memory":
            memory = MemoryWeightStore()
            self.store, self.damage = memory, memory.damage
            return
        name = uuid.uuid4().hex
        roots = {"remote": f"memory://{name}/w", "s3": f"s3://{name}/w"}
        root = roots.get(kind, str(tmp_path / "w"))
        if kind == "s3":
            fsspec.filesystem("s3").mkdir(name)
        self.store = FsspecWeightStore(root, snapshot_every=3 if kind == "deltas" else 1)
        filesystem, path = fsspec.core.url_to_fs(root)
        self.damage = lambda version, name, data: filesystem.pipe_file(
            f"{path}/v{version:010d}/{name}", data
        )


S3 = pytest.param("s3", marks=pytest.mark.integration)


@pytest.fixture(params=["memory", "local", "deltas", "remote", S3])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    if request.param == "s3":
        request.getfixturevalue("s3_server")
    return Stores(request.param, tmp_path)


@pytest.fixture
def store(stores: Stores) -> TrainerStore:
    return stores.store


def test_an_empty_store_has_no_version_and_no_pointer(store: TrainerStore) -> None:
    assert store.versions() == []
    assert store.pointer() is None
    with pytest.raises(VersionNotFound, match="version 1 "):
        store.manifest(1)


def test_what_was_written_is_read_back_verified(store: TrainerStore) -> None:
    written = store.write(manifest(1), FILES)
    assert [file.name for file in written.files] == sorted(FILES)
    assert store.manifest(1) == written
    assert {file.name: store.read(written, file.name) for file in written.files} == FILES
    assert store.versions() == [1]


def test_a_write_moves_no_pointer(store: TrainerStore) -> None:
    store.write(manifest(1), FILES)
    assert store.pointer() is None


def test_versions_are_numbers_in_ascending_order(store: TrainerStore) -> None:
    for version in (10, 2, 9):
        store.write(manifest(version), FILES)
    assert store.versions() == [2, 9, 10]


def test_writing_a_version_again_with_the_same_contents_keeps_the_first(
    store: TrainerStore,
) -> None:
    first = store.write(manifest(1, created_ms=1), FILES)
    assert store.write(manifest(1, created_ms=99), FILES) == first
    assert store.manifest(1).created_ms == 1


@pytest.mark.parametrize(
    ("again", "files"),
    [(manifest(1), {**FILES, "dense.safetensors": b"other"}), (manifest(1, events=11), FILES)],
)
def test_a_version_is_never_changed(
    store: TrainerStore, again: WeightManifest, files: dict[str, bytes]
) -> None:
    first = store.write(manifest(1), FILES)
    with pytest.raises(StalePublish, match="exists already with other contents"):
        store.write(again, files)
    assert store.manifest(1) == first
    assert store.read(first, "dense.safetensors") == b"dense"


@pytest.mark.parametrize("data", [b"dense!", b"DENSE", b""])
def test_a_file_that_is_not_what_the_manifest_names_is_refused(stores: Stores, data: bytes) -> None:
    written = stores.store.write(manifest(1), FILES)
    stores.damage(1, "dense.safetensors", data)
    with pytest.raises(CorruptVersion, match=r"dense\.safetensors of version 1"):
        stores.store.read(written, "dense.safetensors")
    assert stores.store.read(written, "items.safetensors") == FILES["items.safetensors"]


def test_a_file_the_manifest_does_not_name_is_refused(store: TrainerStore) -> None:
    written = store.write(manifest(1), FILES)
    with pytest.raises(CorruptVersion, match="has no file"):
        store.read(written, "../pointer.json")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", "", ".", "..", ".hidden", "manifest.json", "a\n", "é"]
)
def test_names_that_could_leave_the_folder_are_refused(store: TrainerStore, name: str) -> None:
    with pytest.raises(WeightsError, match="name must be"):
        store.write(manifest(1), {name: b"x"})
    assert store.versions() == []


@pytest.mark.parametrize("version", [0, -1, 10**10])
def test_numbers_that_no_folder_can_have_are_refused(store: TrainerStore, version: int) -> None:
    with pytest.raises(WeightsError, match="versions count from 1"):
        store.write(manifest(version), FILES)


def test_the_pointer_moves_forward_only(store: TrainerStore) -> None:
    for version in (1, 2, 3):
        store.write(manifest(version), FILES)
    store.advance(Pointer(0, 2))
    for late in (Pointer(0, 1), Pointer(0, 2)):
        with pytest.raises(StalePublish, match="read the pointer again"):
            store.advance(late)
    assert store.pointer() == Pointer(0, 2)
    store.advance(Pointer(0, 3))
    assert store.pointer() == Pointer(0, 3)


def test_a_rollback_of_a_later_epoch_beats_a_racing_publish(store: TrainerStore) -> None:
    for version in (1, 2, 3):
        store.write(manifest(version), FILES)
    store.advance(Pointer(0, 2))
    store.advance(Pointer(1, 1))
    with pytest.raises(StalePublish):
        store.advance(Pointer(0, 3))
    assert store.pointer() == Pointer(1, 1)


def test_of_two_rollbacks_made_from_one_pointer_the_first_one_counts(store: TrainerStore) -> None:
    for version in (1, 2, 3):
        store.write(manifest(version), FILES)
    store.advance(Pointer(1, 3))
    store.advance(Pointer(2, 1, 3))
    with pytest.raises(StalePublish):
        store.advance(Pointer(2, 2, 3))
    assert store.pointer() == Pointer(2, 1, 3)
    store.advance(Pointer(2, 2))  # a publish of the same epoch
    with pytest.raises(StalePublish):
        store.advance(Pointer(3, 1, 1))  # made before it


def test_the_pointer_never_names_a_version_that_is_not_there(store: TrainerStore) -> None:
    with pytest.raises(VersionNotFound):
        store.advance(Pointer(0, 1))
    assert store.pointer() is None


def test_a_deleted_version_is_gone_and_may_be_written_anew(store: TrainerStore) -> None:
    old = store.write(manifest(1), FILES)
    store.write(msgspec.structs.replace(manifest(2), parent=None), FILES)  # so no delta of 1
    store.advance(Pointer(0, 2))
    store.delete(1)
    assert store.versions() == [2]
    for lookup in (lambda: store.manifest(1), lambda: store.read(old, "dense.safetensors")):
        with pytest.raises(VersionNotFound):
            lookup()
    with pytest.raises(VersionNotFound):
        store.delete(1)
    store.write(manifest(1, events=11), FILES)
    assert store.versions() == [1, 2]


def test_the_current_version_cannot_be_deleted(store: TrainerStore) -> None:
    store.write(manifest(1), FILES)
    store.advance(Pointer(0, 1))
    with pytest.raises(WeightsError, match="current"):
        store.delete(1)
    assert store.versions() == [1]


def test_a_manifest_without_files_is_a_version_too(store: TrainerStore) -> None:
    written = store.write(manifest(1), {})
    assert written == msgspec.structs.replace(manifest(1), files=[])
    assert store.versions() == [1]


def table(*touched: int) -> bytes:
    """A weights file of 64 rows, of which ``touched`` differ from the first one's."""
    rows = np.arange(64 * 16, dtype=np.float32).reshape(64, 16)
    rows[list(touched)] += 1
    return save({"items": rows})


def line(store: TrainerStore, length: int) -> list[WeightManifest]:
    """Versions 1 to ``length``, each the child of the one before, one row changed in each."""
    changed = [list(range(version)) for version in range(length)]
    return [
        store.write(manifest(version), {"items.safetensors": table(*touched), "note": b"n"})
        for version, touched in enumerate(changed, 1)
    ]


def test_every_version_of_a_line_is_read_back_whole_in_any_order(stores: Stores) -> None:
    written = line(stores.store, 8)
    for version in (8, 1, 5, 4, 8, 2):
        assert stores.store.manifest(version) == written[version - 1]
        assert stores.store.read(written[version - 1], "items.safetensors") == table(
            *range(version - 1)
        )
        assert stores.store.read(written[version - 1], "note") == b"n"


def test_a_line_written_again_is_the_same(stores: Stores) -> None:
    assert line(stores.store, 5) == line(stores.store, 5)


def rejected(label: int, parent: int | None = 3, reason: str = "worse") -> Rejected:
    return Rejected(label, parent, reason, 7, 90, {0: (5, 95)}, {"hr10_live": 0.25})


def test_what_the_gate_held_is_kept_apart_from_the_versions(store: TrainerStore) -> None:
    assert store.rejected() == []
    store.write(manifest(1), FILES)
    store.set_aside(rejected(8), FILES)
    store.set_aside(rejected(9, None, "all one item"), {})
    first, second = store.rejected()
    listed = {file.name: (file.bytes, file.sha256) for file in store.manifest(1).files}
    assert {file.name: (file.bytes, file.sha256) for file in first.files} == listed
    assert msgspec.structs.replace(first, files=[]) == rejected(8)
    assert second == rejected(9, None, "all one item")
    assert store.versions() == [1]


def test_what_is_held_again_is_kept_once_and_the_oldest_goes(store: TrainerStore) -> None:
    for label in range(REJECTED_KEPT + 2):
        store.set_aside(rejected(label), FILES)
    store.set_aside(rejected(4, reason="again"), {})
    labels = [window.label for window in store.rejected()]
    assert labels == [2, 3, *range(5, REJECTED_KEPT + 2), 4]
    assert store.rejected()[-1].reason == "again"


def test_plans_of_the_last_version_that_was_planned_for_are_kept(store: TrainerStore) -> None:
    assert store.planned() == []
    store.plan(Plan(0, None, 5, 1.0))
    of_one = [Plan(3, 7, 9, 0.25), Plan(3, 9, 11, 1.0)]
    for plan in of_one:
        store.plan(plan)
    assert store.planned() == of_one
    store.plan(Plan(3, 7, 8, 1.0))
    assert store.planned() == [of_one[1], Plan(3, 7, 8, 1.0)]
    assert store.versions() == []
