"""What only RocksDB can show: writers that restart, vanish or are replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rocksdict import Checkpoint, Options, Rdict

from everfresh.adapters.state import secondary as module
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.adapters.state.secondary import Secondary
from everfresh.contracts.experiments.first_arm import (
    FirstArm,
    encode_first_arms,
    first_arms_key,
)
from tests.conformance.test_history_reader import (
    LENGTH,
    TOPIC,
    items,
    meta_pair,
    settled,
    user_pairs,
)


class Writer:
    """The primary of partition 0."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(exist_ok=True)
        self.path = state_dir / f"{TOPIC}-0"
        self.database = Rdict(str(self.path), Options(raw_mode=True))

    def write(self, entries: list[int], offset: int) -> None:
        for key, value in {**meta_pair(0, offset + 1), **user_pairs(1, entries, offset)}.items():
            self.database[key] = value

    def stop(self) -> None:
        self.database.close()
        del self.database


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[RocksHistoryReader]:
    opened = RocksHistoryReader(tmp_path / "state", TOPIC, LENGTH, catch_up_ms=5)
    yield opened
    opened.close()


def test_a_writer_that_restarts_is_followed_on(reader: RocksHistoryReader, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "state")
    writer.write([1], 1)
    assert items(settled(reader, 1, 1)) == [1]
    writer.stop()
    writer = Writer(tmp_path / "state")
    writer.write([1, 2], 2)
    assert items(settled(reader, 1, 2)) == [1, 2]
    writer.stop()


def test_first_arms_are_read_beside_the_worker_who_writes_them(
    reader: RocksHistoryReader, tmp_path: Path
) -> None:
    assert reader.first_arms(1) is None  # no state is here yet
    writer = Writer(tmp_path / "state")
    writer.write([1], 1)
    assert items(settled(reader, 1, 1)) == [1]
    assert reader.first_arms(1) == {}
    shown = FirstArm("green", "control", 4, 0.5)
    writer.database[first_arms_key(1)] = encode_first_arms([shown])
    writer.write([1, 2], 2)
    assert items(settled(reader, 1, 2)) == [1, 2]
    assert reader.first_arms(1) == {"green": shown}
    assert reader.first_arms(2) == {}
    writer.stop()


def test_a_state_made_anew_takes_the_place_of_the_old(
    reader: RocksHistoryReader, tmp_path: Path
) -> None:
    writer = Writer(tmp_path / "state")
    writer.write([1, 2], 9)
    assert items(settled(reader, 1, 9)) == [1, 2]
    writer.stop()
    shutil.rmtree(writer.path)
    writer = Writer(tmp_path / "state")
    writer.write([7], 3)
    assert items(settled(reader, 1, 3)) == [7]
    writer.stop()


def test_a_state_restored_from_a_copy_takes_the_place_of_the_old(
    reader: RocksHistoryReader, tmp_path: Path
) -> None:
    writer = Writer(tmp_path / "state")
    writer.write([1], 1)
    Checkpoint(writer.database).create_checkpoint(str(tmp_path / "copy"))
    writer.write([1, 2], 2)
    assert items(settled(reader, 1, 2)) == [1, 2]
    writer.stop()
    shutil.rmtree(writer.path)
    (tmp_path / "copy").rename(writer.path)
    writer = Writer(tmp_path / "state")  # it has the name of the one it is a copy of
    assert items(settled(reader, 1, 1)) == [1]
    writer.write([1, 3], 2)
    assert items(settled(reader, 1, 2)) == [1, 3]
    writer.stop()


def test_a_state_that_vanished_is_read_as_it_was(
    reader: RocksHistoryReader, tmp_path: Path
) -> None:
    writer = Writer(tmp_path / "state")
    writer.write([1], 1)
    assert items(settled(reader, 1, 1)) == [1]
    writer.stop()
    shutil.rmtree(writer.path)
    reader.catch_up()
    assert items(reader.read(1)) == [1]


def test_what_is_there_is_readable_from_the_first_moment(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "state")
    writer.write([1], 1)
    for _ in range(2):
        reader = RocksHistoryReader(tmp_path / "state", TOPIC, LENGTH, catch_up_ms=10_000)
        assert items(reader.read(1)) == [1]
        reader.close()
    writer.stop()


def test_several_readers_follow_one_writer(reader: RocksHistoryReader, tmp_path: Path) -> None:
    other = RocksHistoryReader(tmp_path / "state", TOPIC, LENGTH, catch_up_ms=5)
    writer = Writer(tmp_path / "state")
    writer.write([1], 1)
    assert items(settled(reader, 1, 1)) == items(settled(other, 1, 1)) == [1]
    other.close()
    writer.write([1, 2], 2)
    assert items(settled(reader, 1, 2)) == [1, 2]
    writer.stop()


def test_folders_of_other_topics_and_unfinished_ones_are_left_alone(
    reader: RocksHistoryReader, tmp_path: Path
) -> None:
    for name in (f"{TOPIC}-1", f"{TOPIC}-x", f"other.{TOPIC}-0", f"{TOPIC}2-0", "LOCK"):
        (tmp_path / "state" / name).mkdir(parents=True)
    reader.catch_up()
    assert reader.partitions() == []


def test_a_closed_reader_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "tmp"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    writer = Writer(tmp_path / "state")
    writer.write([1], 1)
    reader = RocksHistoryReader(tmp_path / "state", TOPIC, LENGTH)
    assert list(private.iterdir())
    reader.close()
    reader.close()
    assert not list(private.iterdir())
    writer.stop()


@pytest.mark.process
def test_what_a_killed_reader_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as ended:
        pass
    (tmp_path / f"everfresh-reader-{ended.pid}-x" / "0").mkdir(parents=True)
    (tmp_path / f"everfresh-reader-{os.getpid()}-x").mkdir()
    RocksHistoryReader(tmp_path / "state", TOPIC, LENGTH).close()
    assert [entry.name for entry in tmp_path.iterdir()] == [f"everfresh-reader-{os.getpid()}-x"]


def follow(secondary: Secondary, key: bytes, value: bytes) -> bool:
    """Whether a few rounds reach ``value``; a round that meets a flush may miss it."""
    for _ in range(100):
        assert secondary.catch_up()
        if secondary.get(key) == value:
            return True
        time.sleep(0.01)
    return False


def test_writes_that_outgrow_the_log_are_followed_through_flush_and_compaction(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "db"
    options = Options(raw_mode=True)
    options.set_write_buffer_size(64 * 1024)
    database = Rdict(str(folder), options)
    secondary = Secondary(folder, tmp_path / "private")
    for round_ in range(20):
        for key in range(200):
            database[b"%d" % key] = b"%d" % round_ * 100
        assert follow(secondary, b"7", b"%d" % round_ * 100)
    database.compact_range(None, None)
    database[b"7"] = b"last"
    assert follow(secondary, b"7", b"last")
    assert secondary.get(b"8") == b"19" * 100
    database.close()


class Refused:
    """A database that takes no more, and none that can be opened in its place."""

    def __init__(self, database: Rdict) -> None:
        self._database = database

    def get(self, key: bytes) -> object:
        return self._database.get(key)

    def try_catch_up_with_primary(self) -> None:
        raise RuntimeError("too many open files")


def test_what_can_no_longer_be_followed_is_behind_until_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(tmp_path / "state")
    writer.write([1], 1)
    private = tmp_path / "private"
    secondary = Secondary(writer.path, private)
    assert secondary.catch_up()
    assert not secondary.behind
    assert len(list(private.iterdir())) == 1

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("too many open files")

    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    secondary._database = Refused(secondary._database)  # type: ignore[assignment, arg-type]
    with monkeypatch.context() as broken:
        broken.setattr(module, "Rdict", refuse)
        for offset in range(2, 7):
            writer.write([1, 2], offset)
            assert secondary.catch_up()
            assert secondary.behind
    assert caplog.text.count("grows old: too many open files") == 1
    # It is tried again though the writer writes nothing more, and leaves no folder.
    assert secondary.catch_up()
    assert not secondary.behind
    assert len(list(private.iterdir())) == 1
    assert Secondary(writer.path, tmp_path / "another").catch_up()
    writer.stop()
