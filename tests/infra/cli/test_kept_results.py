"""Results of a long measurement are kept whole, and somewhere, whatever the disk says."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest

from everfresh.contracts.errors import RunError, SettingsError
from everfresh.evaluation.results import EventsCut
from everfresh.infra.cli.kept_results import keep_results, require_places, write_whole
from everfresh.infra.cli.terminal import Terminal

RESULT = EventsCut(3, 4)


def full(path: Path) -> None:
    path.write_bytes(b"half of it")
    raise OSError(28, "No space left on device")


def test_figures_and_plot_are_written_as_wholes(tmp_path: Path) -> None:
    figures, plot = tmp_path / "f.json", tmp_path / "p.png"
    figures.write_text("older")
    keep_results(Terminal(), RESULT, figures, plot, lambda path: path.touch())
    assert json.loads(figures.read_bytes())["events"] == 3
    assert sorted(each.name for each in tmp_path.iterdir()) == ["f.json", "p.png"]


def test_a_link_leads_to_what_is_replaced_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    link, pipe = tmp_path / "link.json", tmp_path / "pipe.json"
    link.symlink_to(tmp_path / "f.json")
    keep_results(Terminal(), RESULT, link, None, full)
    assert link.is_symlink()
    assert json.loads((tmp_path / "f.json").read_bytes())["events"] == 3
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        keep_results(Terminal(), RESULT, pipe, None, full)
        assert json.loads(os.read(reader, 4096))["events"] == 3
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_what_the_disk_does_not_take_is_kept_aside_and_the_rest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    taken = tmp_path / "here" / "f.json"
    taken.parent.mkdir()
    plot = tmp_path / "p.png"

    def draw(path: Path) -> None:
        if path.parent == tmp_path:
            full(path)
        path.write_bytes(b"drawn")

    with pytest.raises(RunError, match=r"p\.png cannot be written: No space left on device; it is"):
        keep_results(Terminal(), RESULT, taken, plot, draw)
    assert taken.exists()
    (kept,) = aside.glob("*/p.png")
    assert kept.read_bytes() == b"drawn"
    assert not [each for each in tmp_path.iterdir() if each.suffix == ".png"], "no half of a plot"


def test_it_says_so_where_no_place_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RunError, match=r"nor can a temporary folder .* so it is nowhere"):
        keep_results(Terminal(), RESULT, None, tmp_path / "p.png", full)


def test_what_has_only_a_name_of_an_open_file_is_written_to(tmp_path: Path) -> None:
    """Such as a shell's ``>(jq .)``: it resolves to nothing that exists."""
    reading, writing = os.pipe()
    try:
        keep_results(Terminal(), RESULT, Path(f"/dev/fd/{writing}"), None, full)
        assert json.loads(os.read(reading, 4096))["events"] == 3
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_that_cannot_be_replaced_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is mounted by itself; and modes stay."""
    target = tmp_path / "f.json"
    target.write_text("older, and longer than what comes: " + "-" * 100)
    target.chmod(0o640)
    write_whole(target, lambda place: place.write_text("newer"))
    assert target.read_text() == "newer"
    assert target.stat().st_mode & 0o777 == 0o640

    def busy(draft: Path, place: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", str(draft), None, str(place))

    monkeypatch.setattr(Path, "replace", busy)
    write_whole(target, lambda place: place.write_text("newest"))
    assert target.read_text() == "newest"
    assert [each.name for each in tmp_path.iterdir()] == ["f.json"]
    with pytest.raises(OSError, match="busy"):
        write_whole(tmp_path / "new.json", lambda place: place.write_text("newest"))


def test_what_is_read_and_what_is_printed_to_are_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = tmp_path / "events.json"
    events.write_text("{}")
    (tmp_path / "link.json").symlink_to(events)
    for target in (events, tmp_path / "link.json"):
        with pytest.raises(SettingsError, match="is part of what is read"):
            require_places(events, None, target)
    with pytest.raises(SettingsError, match="is part of what is read"):
        require_places(tmp_path, tmp_path / "figures.json")
    require_places(events, tmp_path / "figures.json")
    printed = tmp_path / "printed.txt"
    printed.touch()
    monkeypatch.setattr(os, "fstat", lambda number: printed.stat())
    with pytest.raises(SettingsError, match="is where this command prints"):
        require_places(events, printed)


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("older")
    with pytest.raises(OSError, match="No space left") as raised:
        write_whole(page, full)
    assert raised.value.filename == str(page)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["older"]
