"""What the broker accepts as its data folder, and how it refuses others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everfresh.contracts.errors import StateError, StateLocked
from everfresh.infra.broker.data_folder import MARKER, BrokerFolder

Folder = Callable[[Path], BrokerFolder]


@pytest.fixture
def folder_at() -> Iterator[Folder]:
    made: list[BrokerFolder] = []

    def make(root: Path) -> BrokerFolder:
        made.append(BrokerFolder(root))
        return made[-1]

    yield make
    for folder in made:
        folder.release()


def test_a_new_folder_becomes_ours_and_keeps_its_cluster(folder_at: Folder, tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "deep" / "kafka")
    folder.prepare(20_001, 20_002)
    first = json.loads((folder.root / MARKER).read_text())["cluster_id"]
    folder.prepare(20_003, 20_004)
    assert json.loads((folder.root / MARKER).read_text())["cluster_id"] == first
    assert len(first) == 22
    assert folder.root.stat().st_mode & 0o077 == 0
    text = folder.properties.read_text()
    assert "listeners=PLAINTEXT://127.0.0.1:20003,CONTROLLER://127.0.0.1:20004" in text
    assert "20001" not in text


def test_every_listener_is_on_the_loopback(folder_at: Folder, tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "kafka")
    folder.prepare(20_001, 20_002)
    addresses = [
        line for line in folder.properties.read_text().splitlines() if "://" in line or "@" in line
    ]
    assert len(addresses) == 3
    for line in addresses:
        assert line.count("127.0.0.1:") == line.count(":2000")


def test_a_folder_of_something_else_is_left_untouched(folder_at: Folder, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StateError, match="is not the folder of an embedded broker"):
        folder_at(tmp_path).prepare(20_001, 20_002)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_start_that_was_killed_before_the_marker_stood_is_taken_over(
    folder_at: Folder, tmp_path: Path
) -> None:
    (tmp_path / MARKER).with_suffix(".new").write_text('{"for')
    folder = folder_at(tmp_path)
    folder.prepare(20_001, 20_002)
    assert json.loads((tmp_path / MARKER).read_text())["format"] == 1


def test_a_file_in_the_place_of_the_folder_is_named(folder_at: Folder, tmp_path: Path) -> None:
    (tmp_path / "kafka").touch()
    with pytest.raises(StateError, match="cannot be used"):
        folder_at(tmp_path / "kafka").prepare(20_001, 20_002)


@pytest.mark.parametrize("marker", ["", "{", "[]", '{"format": 9, "cluster_id": "x"}'])
def test_a_marker_of_another_format_is_refused(
    folder_at: Folder, tmp_path: Path, marker: str
) -> None:
    (tmp_path / MARKER).write_text(marker)
    folder = folder_at(tmp_path)
    folder.prepare(20_001, 20_002)
    with pytest.raises(StateError, match="marker of format 1"):
        folder.format(["false"])


def test_the_last_lines_are_errors_of_this_start_and_no_stack_frames(
    folder_at: Folder, tmp_path: Path
) -> None:
    folder = folder_at(tmp_path / "kafka")
    folder.prepare(20_001, 20_002)
    folder.log.write_text("ERROR of yesterday\n")
    folder.prepare(20_001, 20_002)
    assert folder.last_lines() == "nothing"
    with folder.log.open("a") as log:
        log.write("INFO up\n" * 9 + "ERROR no space\njava.io.IOException: full\n\tat here\n")
        log.write("INFO down\n")
    assert folder.last_lines() == "ERROR no space | java.io.IOException: full"


def test_one_broker_at_a_time_and_the_next_after_it(folder_at: Folder, tmp_path: Path) -> None:
    first, second = folder_at(tmp_path / "kafka"), folder_at(tmp_path / "kafka")
    first.prepare(20_001, 20_002)
    with pytest.raises(StateLocked, match="another embedded broker is using"):
        second.prepare(20_003, 20_004)
    assert "20001" in first.properties.read_text()
    first.release()
    first.release()
    second.prepare(20_003, 20_004)
    assert "20003" in first.properties.read_text()
