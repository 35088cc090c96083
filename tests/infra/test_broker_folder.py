from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.errors import StateError
from infra.kafka.storage import MARKER, BrokerFolder


def test_a_new_folder_becomes_ours_and_keeps_its_cluster(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path / "deep" / "kafka")
    folder.prepare(20_001, 20_002)
    first = json.loads((folder.root / MARKER).read_text())["cluster_id"]
    folder.prepare(20_003, 20_004)
    assert json.loads((folder.root / MARKER).read_text())["cluster_id"] == first
    assert len(first) == 22
    text = folder.properties.read_text()
    assert "listeners=PLAINTEXT://127.0.0.1:20003,CONTROLLER://127.0.0.1:20004" in text
    assert "20001" not in text


def test_every_listener_is_on_the_loopback(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path / "kafka")
    folder.prepare(20_001, 20_002)
    addresses = [
        line for line in folder.properties.read_text().splitlines() if "://" in line or "@" in line
    ]
    assert len(addresses) == 3
    for line in addresses:
        assert line.count("127.0.0.1:") == line.count(":2000")


def test_a_folder_of_something_else_is_left_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StateError, match="is not the folder of an embedded broker"):
        BrokerFolder(tmp_path).prepare(20_001, 20_002)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_start_that_was_killed_before_the_marker_stood_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / MARKER).with_suffix(".new").write_text('{"for')
    folder = BrokerFolder(tmp_path)
    folder.prepare(20_001, 20_002)
    assert json.loads((tmp_path / MARKER).read_text())["format"] == 1


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "kafka").touch()
    with pytest.raises(StateError, match="cannot be used"):
        BrokerFolder(tmp_path / "kafka").prepare(20_001, 20_002)


@pytest.mark.parametrize("marker", ["", "{", "[]", '{"format": 9, "cluster_id": "x"}'])
def test_a_marker_of_another_format_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / MARKER).write_text(marker)
    folder = BrokerFolder(tmp_path)
    folder.prepare(20_001, 20_002)
    with pytest.raises(StateError, match="marker of format 1"):
        folder.format(["false"])


def test_the_last_words_are_errors_of_this_start_and_no_stack_frames(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path / "kafka")
    folder.prepare(20_001, 20_002)
    folder.log.write_text("ERROR of yesterday\n")
    folder.prepare(20_001, 20_002)
    assert folder.last_words() == "nothing"
    with folder.log.open("a") as log:
        log.write("INFO up\n" * 9 + "ERROR no space\njava.io.IOException: full\n\tat here\n")
        log.write("INFO down\n")
    assert folder.last_words() == "ERROR no space | java.io.IOException: full"
