"""A lost state directory comes back from a snapshot, on real RocksDB."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from everfresh.adapters.state.snapshots import SNAPSHOT_FORMAT, SnapshotManifest, SnapshotStore
from everfresh.contracts.errors import LogTruncated, StateError
from everfresh.contracts.sequence import USER_PREFIX
from everfresh.streaming.outbox.rows import OutboxRow
from everfresh.streaming.state.key_layout import SLICE_HEAD_KEY
from everfresh.streaming.state.restore import RestoreFigures, begin_anew, origin_of, restore
from tests.streaming.sample_log import delivered, place, rules, states
from tests.streaming.worker_disk import HERE, HISTORY, LOG, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def with_two_snapshots(machine: Machine) -> list[str]:
    """Snapshots at offsets 700 and 1100, and then the disk is gone."""
    machine.start()
    machine.apply(LOG[:700])
    first = machine.snapshot()
    machine.apply(LOG[700:1100])
    second = machine.snapshot()
    machine.apply(LOG[1100:1500])
    machine.lose()
    return [second, first]


def windows(rows: Iterable[OutboxRow]) -> list[bytes | None]:
    return [row.value for row in rows if row.topic == "windows"]


def test_restored_and_replayed_it_is_as_if_nothing_had_been_lost(
    machine: Machine, tmp_path: Path
) -> None:
    never_lost = Machine(tmp_path / "other")
    never_lost.start()
    never_lost.apply(LOG)
    with_two_snapshots(machine)
    restored = machine.restore()
    assert restored is not None
    assert restored.applied == 1100
    machine.start()
    assert machine.partition.applied == 1100
    machine.apply(LOG[1100:1333])
    machine.apply(LOG[1333:])
    ours, theirs = list(delivered(machine.partition)), list(delivered(never_lost.partition))
    for layout in (USER_PREFIX, SLICE_HEAD_KEY):
        assert list(machine.store.scan(layout)) == list(never_lost.store.scan(layout))
    assert states(machine.pairs(), HISTORY) == states(never_lost.pairs(), HISTORY)
    assert machine.partition.applied == never_lost.partition.applied
    assert sorted(ours, key=str) == sorted(theirs, key=str)
    assert windows(ours) == windows(theirs)
    assert (machine.figures.from_snapshot, machine.figures.refused.total()) == (1, 0)
    assert machine.figures.bytes_left == 0


def test_the_outbox_and_the_open_slice_travel_with_the_snapshot(machine: Machine) -> None:
    machine.start()
    machine.apply(LOG[:700])
    before, waiting = machine.pairs(), machine.partition.outbox.waiting
    machine.snapshot()
    machine.lose()
    machine.restore()
    machine.start()
    assert waiting > 0
    assert machine.partition.outbox.waiting == waiting
    assert machine.pairs() == before


def damage(machine: Machine, name: str) -> None:
    """The newest files of this snapshot alone rot."""
    others = [other for other in machine.snapshots.names() if other != name]
    shared = {file.sha256 for other in others for file in machine.manifest(other).files}
    root = machine.path.parents[1] / "snapshots" / "t.events-0" / "files"
    for file in machine.manifest(name).files:
        if file.sha256 not in shared and file.bytes:
            data = bytearray((root / file.sha256).read_bytes())
            data[len(data) // 2] ^= 1
            (root / file.sha256).write_bytes(data)


def test_a_corrupt_snapshot_is_named_and_the_one_before_it_is_taken(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    newest, _ = with_two_snapshots(machine)
    damage(machine, newest)
    restored = machine.restore()
    assert restored is not None
    assert restored.applied == 700
    assert machine.figures.refused == {"corrupt": 1}
    assert f"partition 0: snapshot {newest} is not used: corrupt: file" in caplog.text


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"cluster": "other"}, "foreign"),
        ({"topic_id": "recreated"}, "foreign"),
        ({"end": 600}, "out of reach"),
        ({"start": 1101}, "out of reach"),
    ],
)
def test_a_foreign_snapshot_is_named_and_skipped(
    machine: Machine, where: dict[str, Any], reason: str
) -> None:
    with_two_snapshots(machine)
    assert machine.restore(**where) is None
    assert machine.figures.refused == {reason: 2}
    assert not machine.path.exists()
    assert machine.path.parent.exists()


def test_a_snapshot_cut_by_other_rules_is_foreign(machine: Machine) -> None:
    with_two_snapshots(machine)
    there = place(end=HERE.end)

    def check(draft: Path) -> None:
        machine.check(draft, rules(period_ms=5000))

    assert restore(machine.path, there, machine.snapshots, check, machine.figures) is None
    assert machine.figures.refused == {"foreign": 2}


def test_a_snapshot_that_rocksdb_cannot_open_is_corrupt(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.start()
    machine.apply(LOG[:700])
    folder = tmp_path / "torn"
    machine.store.checkpoint(folder)
    for table in folder.glob("*.sst"):
        table.unlink()
    about = SnapshotManifest(SNAPSHOT_FORMAT, origin_of(HERE), 700, 1, [])
    machine.snapshots.save(about, folder, 9, lambda: None)
    machine.lose()
    assert machine.restore() is None
    assert machine.figures.refused == {"corrupt": 1}
    # A follower asks every few seconds, and a snapshot may be large.
    assert machine.restore() is None
    assert machine.figures.refused == {"corrupt": 1}
    monkeypatch.setattr("everfresh.streaming.state.restore._UNFIT_S", 0.0)
    assert machine.restore() is None
    assert machine.figures.refused == {"corrupt": 2}


def test_a_snapshot_of_a_newer_release_is_left_and_the_one_before_it_is_taken(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newest, _ = with_two_snapshots(machine)
    [path] = tmp_path.glob(f"snapshots/**/{newest}/manifest.json")
    for raw in ({"format": 9}, {**json.loads(path.read_text()), "format": 9}):
        path.write_text(json.dumps(raw))
        machine.restore()
        assert machine.figures.refused == {"foreign": 1}
        assert "a newer release of everfresh wrote it: upgrade this part" in caplog.text
        machine.figures.refused.clear()
        caplog.clear()
        machine.lose()


def test_a_store_that_cannot_be_reached_leaves_the_log(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "snapshots").write_text("a file where a folder should be")
    assert machine.restore() is None
    assert machine.figures.refused == {"unreachable": 1}


def test_a_disk_that_takes_no_more_stops_the_restore_and_blames_no_snapshot(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_two_snapshots(machine)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("everfresh.adapters.state.snapshots.os.fsync", full)
    with pytest.raises(StateError, match="No space left on device; make room"):
        machine.restore()
    assert not machine.figures.refused


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [0, 2, 4])
def test_killed_during_restore_it_is_restored_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with_two_snapshots(machine)
    bring = SnapshotStore.restore

    def killed(self: SnapshotStore, manifest: SnapshotManifest, folder: Path, _: Any) -> None:
        left = [at]

        def arrived(size: int) -> None:
            if not left[0]:
                raise Killed
            left[0] -= 1

        bring(self, manifest, folder, arrived)

    with monkeypatch.context() as patched:
        patched.setattr(SnapshotStore, "restore", killed)
        with pytest.raises(Killed):
            machine.restore()
    assert not machine.path.exists()
    restored = machine.restore()
    assert restored is not None
    assert restored.applied == 1100


def test_killed_before_the_restored_state_takes_its_place_it_is_restored_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_two_snapshots(machine)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(Killed):
            machine.restore()
    assert not machine.path.exists()
    assert machine.restore() is not None
    machine.start()
    assert machine.partition.applied == 1100


def test_where_the_logs_beginning_is_gone_it_does_not_begin_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    figures = RestoreFigures()
    with pytest.raises(LogTruncated, match=r"begins at 40.*state\.accept_truncated_log"):
        begin_anew(place(start=40), accept_truncated=False, figures=figures)
    begin_anew(place(start=40), accept_truncated=True, figures=figures)
    assert "the state begins at offset 40" in caplog.text
    begin_anew(place(start=0), accept_truncated=False, figures=figures)
    assert (figures.from_log, figures.truncated) == (2, 40)
