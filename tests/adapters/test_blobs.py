"""What a killed write leaves on a disk and who clears it up; what a store that fails raises."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from everfresh.adapters.blob_port import Blobs
from everfresh.adapters.blobs import LocalBlobs, RemoteBlobs, open_blobs
from everfresh.adapters.state.snapshots import SnapshotStore
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import SnapshotError, WeightsError
from everfresh.contracts.manifest import Pointer, Rejected
from tests.conformance.test_weight_store import FILES, manifest

_KILLED = """
import os, sys
from pathlib import Path
from everfresh.adapters.blobs import LocalBlobs
os.fsync = lambda handle: os._exit(9)
LocalBlobs(Path(sys.argv[1])).put(sys.argv[2], b"half")
"""


def kill_in_a_write(root: Path, name: str) -> None:
    """A process that ends between a draft and its rename."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _KILLED, str(root), name]
    assert subprocess.run(command, check=False).returncode == 9


def drafts(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root).parent) for path in root.rglob(".*.draft"))


@pytest.mark.process
def test_what_a_killed_write_left_goes_when_the_next_writer_has_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".operators.settings").touch()
    kill_in_a_write(tmp_path, "pointer.json")
    kill_in_a_write(tmp_path, "rejected/l1-p1/model")
    blobs, flock, before = LocalBlobs(tmp_path), fcntl.flock, list[list[str]]()

    def taken(lock: int, how: int) -> None:
        # Until then a draft may be that of a writer that is at work.
        before.append(drafts(tmp_path))
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", taken)
    assert blobs.get("pointer.json", 99) is None
    with blobs.exclusive():
        assert drafts(tmp_path) == []
    assert before == [[".", "rejected/l1-p1"]]
    assert (tmp_path / ".operators.settings").exists()


@pytest.mark.process
def test_a_store_whose_pointer_was_being_written_is_clean_after_the_next_write(
    tmp_path: Path,
) -> None:
    FsspecWeightStore(str(tmp_path)).write(manifest(1), FILES)
    kill_in_a_write(tmp_path, "pointer.json")
    store = FsspecWeightStore(str(tmp_path))
    assert store.pointer() is None
    store.advance(Pointer(1, 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock",
        "pointer.json",
        "v0000000001",
    ]


@pytest.mark.process
def test_what_was_set_aside_and_not_listed_goes_with_the_next_one(tmp_path: Path) -> None:
    kill_in_a_write(tmp_path, "rejected/l0000000007-p3/model")
    (tmp_path / "rejected" / "l0000000007-p3" / "whole").write_bytes(b"before its list")
    store = FsspecWeightStore(str(tmp_path))
    # An operator has rolled back meanwhile: the window is held again, with another parent.
    store.set_aside(Rejected(7, 2, "clock garbage", 1, 9, {}, {}), {"model": b"x"})
    assert [path.name for path in (tmp_path / "rejected").iterdir()] == ["l0000000007-p2"]


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
def test_a_folder_is_a_folder_however_it_is_named(tmp_path: Path, scheme: str) -> None:
    blobs = open_blobs(f"{scheme}{tmp_path}")
    blobs.put("a", b"x")
    assert isinstance(blobs, LocalBlobs)
    assert (tmp_path / "a").read_bytes() == b"x"


class NoConnection(Exception):
    """What a library says of its network: nothing that ours could know by name."""


class Unreachable:
    """A file system of which every call fails."""

    protocol = "bucket"

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*place: str, **how: object) -> None:
            raise NoConnection("no route to it")

        return fail


@pytest.mark.parametrize(
    "use",
    [
        lambda blobs: blobs.get("a", 99),
        lambda blobs: blobs.put("a/b", b""),
        lambda blobs: blobs.remove("a"),
        lambda blobs: blobs.remove_folder("a"),
        lambda blobs: blobs.folders(),
        lambda blobs: blobs.sizes("a"),
    ],
)
def test_whatever_the_library_of_a_store_raises_is_said_in_a_line(
    use: Callable[[Blobs], object],
) -> None:
    with pytest.raises(WeightsError, match="cannot be used: NoConnection: no route to it"):
        use(RemoteBlobs(Unreachable(), "bucket/weights"))


class EmptyFile:
    """An object store's library, where a file is empty: it has no first byte to ask for."""

    protocol = "s3"

    def invalidate_cache(self, path: str) -> None:
        pass

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        raise OSError(22, "The requested range is not satisfiable")

    def size(self, path: str) -> int:
        return 0 if path.endswith("empty") else 7


def test_a_file_without_a_first_byte_is_empty_and_any_other_refusal_is_said() -> None:
    blobs = RemoteBlobs(EmptyFile(), "bucket/weights")
    assert blobs.get("empty", 10) == b""
    with pytest.raises(WeightsError, match="range is not satisfiable"):
        blobs.get("other", 10)


class WithoutBucket:
    """An object store's library, where the bucket is not there; it would make one if asked."""

    protocol = ("s3", "s3a")

    def pipe_file(self, path: str, data: bytes) -> None:
        raise FileNotFoundError("The specified bucket does not exist")

    def makedirs(self, path: str, exist_ok: bool) -> None:
        raise AssertionError(f"{path} was made")


def test_a_bucket_whose_name_is_misspelt_is_said_and_not_made() -> None:
    with pytest.raises(WeightsError) as raised:
        RemoteBlobs(WithoutBucket(), "bukcet/weights").put("v1/model", b"")
    assert "the store bukcet/weights cannot be used: The specified bucket does" in str(raised.value)
    assert "its permissions (for s3 the AWS_… variables)" in str(raised.value)


def test_a_snapshot_store_that_its_library_cannot_reach_is_unreachable() -> None:
    store = SnapshotStore("memory://nowhere", "t.events", 3)
    store._blobs = RemoteBlobs(Unreachable(), "bucket/snapshots")
    with pytest.raises(SnapshotError) as raised:
        store.names()
    assert raised.value.reason == "unreachable"
