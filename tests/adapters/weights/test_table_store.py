"""Versions that are handed over as tables: stored by the rows that were touched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from everfresh.adapters.blobs import LocalBlobs
from everfresh.adapters.weights.row_digests import FileDigests
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.adapters.weights.version_folder import LONGEST_CHAIN
from everfresh.contracts.errors import CorruptVersion, VersionNotFound, WrongParent
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.safetensors import TableFile
from everfresh.model.touched_rows import table_bytes
from tests.adapters.weights.test_store import Killed
from tests.conformance.test_weight_store import manifest

NAME = "items.safetensors"
ROWS = 4_000


class Line:
    """A trainer's tables, some rows of which move with every version."""

    def __init__(self, folder: Path, every: int = 4) -> None:
        self.folder = folder
        self.store = FsspecWeightStore(str(folder), every)
        self.items = np.zeros((ROWS, 16), np.float32)
        self.moments = np.zeros((ROWS, 16), np.float32)
        self.version = 0
        self.written: list[WeightManifest] = []
        self.contents: list[bytes] = []

    def files(self, rows: list[int]) -> dict[str, TableFile]:
        touched = np.array(rows)
        tables = {
            "items": table_bytes(self.items, touched),
            "moments": table_bytes(self.moments, touched),
            "step": table_bytes(np.array(self.version, np.int64)),
        }
        return {NAME: TableFile(tables)}

    def write(self, rows: list[int]) -> WeightManifest:
        self.version += 1
        self.items[rows] = self.version
        written = self.store.write(manifest(self.version), self.files(rows))
        self.written.append(written)
        self.contents.append(self.files(rows)[NAME].to_bytes())
        return written

    def fresh(self) -> FsspecWeightStore:
        return FsspecWeightStore(str(self.folder))


def test_versions_are_kept_by_their_rows_until_these_come_to_the_bytes_of_a_whole_one(
    tmp_path: Path,
) -> None:
    line = Line(tmp_path)
    for version in range(30):
        line.write(list(range(version, ROWS, 20)))
    depths = [written.depth for written in line.written]
    first = depths.index(0, 1)
    assert 16 < first < 24, "a twentieth of the rows each, and their numbers"
    assert depths[:first] == list(range(first))
    assert depths[first : first + 5] == [0, 1, 2, 3, 4]
    whole = len(line.contents[0])
    for written in line.written[1:first]:
        sizes = [path.stat().st_size for path in (tmp_path / f"v{written.version:010d}").iterdir()]
        assert sum(sizes) < whole / 15
    for written, contents in zip(line.written, line.contents, strict=True):
        assert line.fresh().read(written, NAME) == contents
        assert written.files[0].root == FileDigests.of(contents).root
        assert written.files[0].sha256 == ""


def test_no_chain_is_longer_than_is_read(tmp_path: Path) -> None:
    line = Line(tmp_path)
    for _ in range(LONGEST_CHAIN + 2):
        line.write([1])
    assert [written.depth for written in line.written[-3:]] == [LONGEST_CHAIN - 1, 0, 1]
    assert line.fresh().read(line.written[-1], NAME) == line.contents[-1]


def test_a_store_that_was_just_opened_goes_on_by_rows_once_it_has_read_the_parent(
    tmp_path: Path,
) -> None:
    line = Line(tmp_path)
    line.write([0])
    line.write([5])
    line.store = line.fresh()
    line.store = FsspecWeightStore(str(tmp_path), 4)
    line.store.read(line.written[-1], NAME)
    assert line.write([6]).depth == 2
    line.store = FsspecWeightStore(str(tmp_path), 4)  # it has read nothing: whole, and right
    assert line.write([7]).stored == []
    assert line.fresh().read(line.written[-1], NAME) == line.contents[-1]


def test_the_same_contents_have_the_same_entries_however_they_came_about(tmp_path: Path) -> None:
    line = Line(tmp_path)
    for rows in ([0], [5], [6]):
        line.write(rows)
    files = line.files([6])
    assert line.fresh().name_files(2, files) == line.written[-1].files
    assert line.store.name_files(3, files) == line.written[-1].files
    line.items[9] = 9.0
    assert line.store.name_files(3, line.files([9])) != line.written[-1].files


@pytest.mark.parametrize("steps", range(2))
@pytest.mark.parametrize("depth", range(2))
def test_a_version_by_rows_killed_between_any_two_writes_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, depth: int
) -> None:
    line = Line(tmp_path)
    for _ in range(depth):
        line.write([1])
    put, left = LocalBlobs.put, [steps]

    def dying(blobs: LocalBlobs, name: str, data: bytes) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        put(blobs, name, data)

    with monkeypatch.context() as patched:
        patched.setattr(LocalBlobs, "put", dying)
        with pytest.raises(Killed):
            line.write([2])
    assert line.fresh().versions() == list(range(1, depth + 1))
    with pytest.raises(VersionNotFound):
        line.fresh().manifest(depth + 1)
    line.version -= 1
    line.store = FsspecWeightStore(str(tmp_path), 4)
    if depth:
        line.store.read(line.written[-1], NAME)
    written = line.write([2])
    assert written.depth == depth
    assert line.fresh().read(written, NAME) == line.contents[-1]


@pytest.mark.parametrize("harm", ["base", "delta", "truncated", "missing", "other parent"])
def test_what_is_damaged_is_named_and_never_returned(tmp_path: Path, harm: str) -> None:
    line = Line(tmp_path)
    for rows in ([0], [5], [6]):
        line.write(rows)
    base = tmp_path / "v0000000001" / NAME
    delta = tmp_path / "v0000000002" / f"{NAME}.delta"
    path = base if harm == "base" else delta
    raw = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "other parent":
        path.write_bytes((tmp_path / "v0000000003" / delta.name).read_bytes())
    else:
        path.write_bytes(raw[:-1] if harm == "truncated" else raw[:-1] + bytes([raw[-1] ^ 1]))
    version, name = (1, NAME) if harm == "base" else (2, rf"{NAME}\.delta")
    for reader in (line.written[1], line.written[2]):
        with pytest.raises(CorruptVersion, match=rf"file {name} of version {version}"):
            line.fresh().read(reader, NAME)


def test_law_6_rows_apply_to_the_contents_that_their_manifest_names_alone(tmp_path: Path) -> None:
    line = Line(tmp_path)
    for rows in ([0], [5]):
        line.write(rows)
    other = line.items.copy()
    other[9] = 3.0
    tables = {"items": other, "moments": line.moments, "step": np.array(1)}
    raw = save(tables)
    (tmp_path / "v0000000001" / NAME).write_bytes(raw)
    path = tmp_path / "v0000000001" / "manifest.json"
    forged = json.loads(path.read_bytes())
    forged["files"][0] |= {"root": FileDigests.of(raw).root, "bytes": len(raw)}
    path.write_text(json.dumps(forged))
    with pytest.raises(WrongParent, match="take the nearest full snapshot"):
        line.fresh().read(line.written[1], NAME)


def test_a_file_named_by_two_digests_or_none_is_refused(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.write([0])
    path = tmp_path / "v0000000001" / "manifest.json"
    raw = path.read_bytes()
    for change in ({"sha256": "0" * 64}, {"root": ""}):
        forged = json.loads(raw)
        forged["files"][0] |= change
        path.write_text(json.dumps(forged))
        with pytest.raises(CorruptVersion, match="digest"):
            line.fresh().manifest(1)
