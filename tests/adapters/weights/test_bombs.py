"""What others put into an unsigned store: few bytes that ask for many are refused unread."""

from __future__ import annotations

import hashlib
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from everfresh.adapters.blobs import LocalBlobs
from everfresh.adapters.weights.deltas import (
    DELTA_FORMAT,
    DeltaName,
    apply_delta,
    encode_delta,
    read_changes,
)
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import CorruptVersion
from tests.adapters.weights.forged_versions import forge
from tests.conformance.test_weight_store import manifest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NAME = DeltaName("items.safetensors", 1, 2)
PARENT = save({"items": np.zeros((10, 8), np.float32)})
MANY = 64 << 20
"""Bytes that a bomb asks for: enough to be seen, and harmless where it is not refused."""
FEW = 8 << 20


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < FEW
    finally:
        tracemalloc.stop()


def delta(tensors: dict[str, np.ndarray], parent: bytes = PARENT) -> bytes:
    """One that says it leads from ``parent`` to what nobody can have hashed."""
    metadata = {
        "format": DELTA_FORMAT,
        "file": NAME.file,
        "parent": "1",
        "version": "2",
        "parent_sha256": hashlib.sha256(parent).hexdigest(),
        "sha256": "0" * 64,
    }
    return save(tensors, {"everfresh": json.dumps(metadata)})


def header(shape: list[int], begin: int, end: int, **more: object) -> np.ndarray:
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    raw = json.dumps({"items": entry, **more}).encode()
    return np.frombuffer(len(raw).to_bytes(8, "little") + raw, np.uint8)


NOTHING = np.zeros(0, np.uint8)
NO_ROWS = {"rows/items": NOTHING, "data/items": NOTHING}
WHOLE = {"dtype": "U8", "shape": [MANY], "data_offsets": [0, MANY]}
HEADERS = {
    "rows that nobody brings": header([MANY // 32, 8], 0, MANY),
    "wider rows than the parent's": header([10, MANY // 40], 0, MANY),
    "a hole before it": header([10, 8], MANY, MANY + 320),
    "a shape that is not its size": header([10, 8], 0, MANY),
    "more dimensions than counting them is worth": header([10, 8] + [1] * 9, 0, 320),
    "a tensor within another": header([10, 8], 0, 320, other=WHOLE),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_asks_for_more_than_there_is_is_refused_before_it_has_room(
    kind: str,
) -> None:
    tensors = {"header": HEADERS[kind], **NO_ROWS}
    if kind == "a tensor within another":
        tensors |= {"rows/other": NOTHING, "data/other": NOTHING}
    bomb = delta(tensors)
    assert len(bomb) < 2000
    with little_memory(), pytest.raises(CorruptVersion, match="damaged or foreign"):
        apply_delta(NAME, PARENT, bomb)


def test_a_header_longer_than_any_of_ours_is_not_parsed() -> None:
    raw = (2**22 + 1).to_bytes(8, "little") + b" " * (2**22 + 1)
    with pytest.raises(CorruptVersion, match="header"):
        apply_delta(NAME, PARENT, delta({"header": np.frombuffer(raw, np.uint8), **NO_ROWS}))


def test_rows_in_no_order_are_refused() -> None:
    rows = np.array([3, 3], np.uint32).view(np.uint8)
    bomb = delta(
        {"header": header([10, 8], 0, 320), "rows/items": rows, "data/items": np.zeros(64, "u1")}
    )
    with pytest.raises(CorruptVersion, match="not in order"):
        read_changes(NAME, bomb, (hashlib.sha256(PARENT).hexdigest(), "0" * 64))


@pytest.mark.parametrize("frames", [1, 2])
def test_a_patch_makes_no_more_than_its_bytes_and_its_parents_account_for(frames: int) -> None:
    patch = zstd.compress(bytes(MANY // frames)) * frames
    assert len(patch) < 4000
    bomb = delta({"patch": np.frombuffer(patch, np.uint8)}, b"parent")
    with little_memory(), pytest.raises(CorruptVersion, match=r"makes more than 1,\d+,\d+"):
        apply_delta(NAME, b"parent", bomb)


def test_a_patch_with_a_window_beyond_what_it_may_make_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 27}
    compressor = zstd.ZstdCompressor(options=options)
    patch = compressor.compress(b"little") + compressor.flush()
    bomb = delta({"patch": np.frombuffer(patch, np.uint8)}, b"parent")
    with pytest.raises(CorruptVersion, match=r"[Ww]indow|memory"):
        apply_delta(NAME, b"parent", bomb)


def test_a_patch_that_ends_before_its_end_is_refused() -> None:
    patch = np.frombuffer(zstd.compress(b"whole" * 99), np.uint8)[:-4]
    with pytest.raises(CorruptVersion, match="ends before its end"):
        apply_delta(NAME, b"parent", delta({"patch": patch}, b"parent"))


def test_what_a_patch_would_not_be_believed_of_is_stored_whole(tmp_path: Path) -> None:
    store = FsspecWeightStore(str(tmp_path), snapshot_every=4)
    store.write(manifest(1), {"note": b"first"})
    grown = bytes(FEW)
    name = DeltaName("note", 1, 2)
    patch = encode_delta(name, b"first", grown)
    with pytest.raises(CorruptVersion, match=r"makes more than|too much memory"):
        apply_delta(name, b"first", patch)
    store.write(manifest(2), {"note": grown})
    fresh = FsspecWeightStore(str(tmp_path))
    assert fresh.manifest(2).delta_of is None
    assert fresh.read(fresh.manifest(2), "note") == grown


def two_versions(folder: Path) -> FsspecWeightStore:
    store = FsspecWeightStore(str(folder), snapshot_every=4)
    for version in (1, 2):
        items = np.arange(512, dtype=np.float32).reshape(64, 8)
        items[version] = 0
        store.write(manifest(version), {NAME.file: save({"items": items}), "note": b"n" * version})
    return FsspecWeightStore(str(folder), most=FEW)


@pytest.mark.parametrize("said", [FEW + 1, 10_900_000_000])
def test_a_file_that_is_said_to_be_too_large_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    store = two_versions(tmp_path)
    for version in (1, 2):  # whole, and made of a delta
        forge(tmp_path, version, NAME.file, said=said)
        forged = store.manifest(version)
        with monkeypatch.context() as patched:
            patched.setattr(LocalBlobs, "get", lambda *_: pytest.fail("it was read"))
            words = f"items.safetensors of version {version} .*{said:,} bytes; at most {FEW:,}"
            with pytest.raises(CorruptVersion, match=f"{words}.*max_file_mb"):
                store.read(forged, NAME.file)


@pytest.mark.parametrize("name", ["manifest.json", "items.safetensors"])
def test_a_file_that_is_longer_than_it_may_be_is_not_read(tmp_path: Path, name: str) -> None:
    store = two_versions(tmp_path)
    read = store.manifest(1)
    with (tmp_path / "v0000000001" / name).open("r+b") as file:
        file.truncate(MANY)  # a sparse file: no disk is filled
    with little_memory(), pytest.raises(CorruptVersion, match=rf"{name} has 67,108,864 bytes"):
        store.manifest(1) if name == "manifest.json" else store.read(read, name)
    assert store.versions() == [1, 2]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("pointer.json", FsspecWeightStore.pointer),
        ("rollback.json", FsspecWeightStore.pointer),
        ("plan.json", FsspecWeightStore.planned),
        ("rejected.json", FsspecWeightStore.rejected),
    ],
)
def test_pointers_and_lists_are_bounded_too(
    tmp_path: Path, name: str, read: Callable[[FsspecWeightStore], object]
) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(MANY)
    with little_memory(), pytest.raises(CorruptVersion, match=f"{name} has 67,108,864 bytes"):
        read(FsspecWeightStore(str(tmp_path)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"delta_of": 2}, "names version 2, not an earlier one"),
        ({"delta_of": 7}, "names version 7, not an earlier one"),
        ({"depth": 257}, "names 257 deltas"),
        ({"depth": -1}, "names -1 deltas"),
        ({"files": [{"name": f"f{n}", "sha256": "", "bytes": 1} for n in range(65)]}, "67 files"),
        ({"files": [{"name": "f", "sha256": "", "bytes": -1}]}, "f has -1 bytes"),
        ({"model": json.loads("[" * 900 + "]" * 900)}, "cannot be read"),
    ],
)
def test_a_manifest_that_asks_for_what_no_version_has_is_refused(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    store = two_versions(tmp_path)
    forge(tmp_path, 2, changed=changed)
    with pytest.raises(CorruptVersion, match=f"manifest of version 2.*{words}"):
        store.manifest(2)


def test_a_chain_of_deltas_comes_nearer_to_its_snapshot_with_each_step(tmp_path: Path) -> None:
    store = FsspecWeightStore(str(tmp_path), snapshot_every=4)
    for version in (1, 2, 3):
        items = np.arange(512, dtype=np.float32).reshape(64, 8)
        items[version] = 0
        store.write(manifest(version), {NAME.file: save({"items": items})})
    forge(tmp_path, 2, changed={"depth": 2})
    store = FsspecWeightStore(str(tmp_path))
    with pytest.raises(CorruptVersion, match=r"version 3 is 2 deltas away.*version 2.*, 2$"):
        store.read(store.manifest(3), NAME.file)
