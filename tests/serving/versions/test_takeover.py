"""The next version made of the one before the last: only changed rows, and the same to the bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from everfresh.contracts.manifest import MODEL_FILES, Rows, WeightManifest
from everfresh.serving.versions.push import Pusher
from tests.serving.versions.lineage import EVERY, ITEMS, Lineage


@pytest.fixture(params=["bytes", "tables"])
def lineage(tmp_path: Path, request: pytest.FixtureRequest) -> Lineage:
    return Lineage(tmp_path, tables=request.param == "tables")


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("rows", ["float32", "bf16", "int8"])
@pytest.mark.parametrize("seed", range(3))
def test_a_version_taken_over_by_its_changed_rows_equals_one_loaded_whole(
    tmp_path: Path, seed: int, rows: Rows, tables: bool
) -> None:
    chance = random.Random(seed)
    lineage = Lineage(tmp_path, seed, rows, tables)
    steps = 0
    for _ in range(14):
        steps += lineage.follower.step()
        lineage.require_as_written()
        for _ in range(chance.choice((1, 1, 1, 2, 4))):  # some are skipped
            lineage.train(chance)
            lineage.write()
    assert steps == 14
    assert lineage.follower.by_deltas() == 12, "the first two have nothing to be made of"


def test_taking_over_touches_the_changed_rows_alone(tmp_path: Path) -> None:
    lineage, chance = Lineage(tmp_path), random.Random(1)
    lineage.follower.step()
    older = lineage.live()[1]
    lineage.train(chance)
    lineage.write()
    lineage.follower.step()
    untouched = ITEMS - 5
    row, marked = older.network.items.data[untouched].clone(), torch.full((16,), 5.0)
    older.network.items.data[untouched] = marked
    del older
    while lineage.version < EVERY:
        lineage.train(random.Random(lineage.version))
        lineage.write()
    lineage.follower.step()
    version, live = lineage.live()
    assert version == EVERY
    assert torch.equal(live.network.items.data[untouched], marked)
    # What no delta names shows at the next full snapshot, which is hashed as a whole.
    live.network.items.data[untouched] = row
    lineage.require_as_written()


def test_contents_that_are_not_the_versions_are_found_at_once_where_it_has_roots(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lineage, chance = Lineage(tmp_path, tables=True), random.Random(1)
    for _ in range(4):
        lineage.follower.step()
        lineage.train(chance)
        lineage.write()
    assert lineage.follower.by_deltas() == 2
    kept = next(row for row in range(0, ITEMS, 16) if row not in lineage.moved_last)
    with torch.no_grad():  # of the next spare; what is brought to that is of the same leaf
        lineage.live()[1].network.items[kept] += 1.0
    lineage.follower.step()
    lineage.moved, before = {kept + 1}, lineage.follower.by_deltas()
    lineage.write()
    assert lineage.follower.step()
    assert lineage.follower.by_deltas() == before
    assert "as its deltas made it has root" in caplog.text
    lineage.require_as_written()


def test_contents_that_are_not_the_snapshots_are_loaded_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lineage, chance = Lineage(tmp_path), random.Random(1)
    lineage.follower.step()
    lineage.train(chance)
    lineage.write()
    lineage.follower.step()
    lineage.live()[1].network.items.data[ITEMS - 5] = 5.0  # of version 2, and so of 4 and 6
    while lineage.version < EVERY:
        lineage.train(chance)
        lineage.write()
        lineage.follower.step()
    made = lineage.follower.by_deltas()
    lineage.train(chance)
    lineage.write()
    assert lineage.store.manifest(lineage.version).depth == 0
    assert lineage.follower.step()
    assert lineage.follower.by_deltas() == made
    assert "as its deltas made it has sha256" in caplog.text
    lineage.require_as_written()


def test_what_a_request_still_answers_with_is_not_written_to(lineage: Lineage) -> None:
    chance = random.Random(3)
    lineage.follower.step()
    held = lineage.holder.current()
    assert held is not None
    before = held.recommender.save()
    for _ in range(2):
        lineage.train(chance)
        lineage.write()
        lineage.follower.step()
    assert lineage.follower.by_deltas() == 0
    assert held.recommender.save() == before
    lineage.require_as_written()
    del held
    lineage.train(chance)
    lineage.write()
    lineage.follower.step()
    assert lineage.follower.by_deltas() == 1
    lineage.require_as_written()


def test_weights_that_others_share_are_never_written_to(lineage: Lineage) -> None:
    chance = random.Random(8)
    shared: list[tuple[memoryview, bytes]] = []
    for _ in range(6):
        manifest = lineage.store.manifest(lineage.version)
        contents = {
            file.digest: memoryview(lineage.store.read(manifest, file.name))
            for file in manifest.files
        }
        shared += [(view, bytes(view)) for view in contents.values()]
        lineage.pushed.receive(contents)
        lineage.follower.step()
        lineage.require_as_written()
        lineage.train(chance)
        lineage.write()
    assert lineage.pushed.used == 4, "the first two were taken as they were"
    assert lineage.follower.by_deltas() == 4
    assert all(view == before for view, before in shared)


def test_a_rollback_and_what_is_published_after_it_are_as_written(lineage: Lineage) -> None:
    chance = random.Random(4)
    for _ in range(4):
        lineage.follower.step()
        lineage.train(chance)
        lineage.write()
    lineage.follower.step()
    lineage.point(1, lineage.version - 2)
    assert lineage.follower.step()
    lineage.require_as_written()
    lineage.epoch = 1
    lineage.train(chance)
    lineage.write()
    assert lineage.follower.step()
    lineage.require_as_written()


def test_each_delta_is_read_once_though_two_versions_take_it(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(9)
    read: list[tuple[int, str]] = []
    fetch = lineage.pushed.delta

    def noted(manifest: WeightManifest, name: str) -> bytes | None:
        read.append((manifest.version, name))
        return fetch(manifest, name)

    monkeypatch.setattr(lineage.pushed, "delta", noted)
    for _ in range(8):
        lineage.follower.step()
        lineage.require_as_written()
        lineage.train(chance)
        lineage.write()
    assert lineage.follower.by_deltas() == 6
    assert sorted(read) == [(n, name) for n in range(2, 9) for name in sorted(MODEL_FILES)]


def _flip(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _replay(path: Path) -> None:
    former = path.parent.parent / f"v{int(path.parent.name[1:]) - 1:010d}" / path.name
    path.write_bytes(former.read_bytes())


@pytest.mark.parametrize("harm", [_flip, _cut, _replay, Path.unlink])
@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_damaged_delta_leaves_the_old_version_live_and_whole(
    lineage: Lineage, name: str, harm: Callable[[Path], None]
) -> None:
    chance = random.Random(5)
    for _ in range(3):
        lineage.follower.step()
        lineage.train(chance)
        lineage.write()
    harm(lineage.folder / f"v{lineage.version:010d}" / f"{name}.delta")
    assert not lineage.follower.step()
    assert lineage.live()[0] == lineage.version - 1
    lineage.require_as_written()
    reason = lineage.follower.state.reason
    assert reason is not None
    parent = lineage.version - 1
    assert (
        f"{name}.delta of version {lineage.version}, which leads from version {parent}," in reason
    )
    lineage.write_whole(chance)
    assert lineage.follower.step()
    lineage.require_as_written()


def test_rows_that_are_no_numbers_are_refused(lineage: Lineage) -> None:
    chance = random.Random(6)
    for bad in (0.0, 0.0, float("nan")):
        lineage.follower.step()
        lineage.train(chance, bad)
        lineage.write()
    assert not lineage.follower.step()
    assert lineage.live()[0] == lineage.version - 1
    assert "not finite" in (lineage.follower.state.reason or "")


def test_a_pushed_delta_is_taken_over_without_a_fetch(lineage: Lineage) -> None:
    chance = random.Random(7)
    sent: list[dict[str, bytes]] = []
    pusher = Pusher(lineage.store, lambda contents: sent.append(dict(contents)), look_ms=10)
    pusher.step()
    for _ in range(3):
        lineage.follower.step()
        lineage.train(chance)
        lineage.write()
        assert pusher.step()
        lineage.pushed.receive(sent[-1])
    manifest = lineage.store.manifest(lineage.version)
    assert sent[-1].keys() == {file.sha256 for file in manifest.stored}
    for name in MODEL_FILES:
        (lineage.folder / f"v{lineage.version:010d}" / f"{name}.delta").unlink()
    assert lineage.follower.step()
    assert lineage.follower.by_deltas() >= 1
    served = lineage.holder.current()
    assert served is not None
    assert msgspec.structs.asdict(served.manifest) == msgspec.structs.asdict(manifest)
