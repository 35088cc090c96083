"""Unix sockets find a short folder wherever temporary files go."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from everfresh.adapters.machine import socket_folder
from everfresh.adapters.machine.socket_folder import LONGEST_PATH, socket_root
from everfresh.contracts.errors import SettingsError


def test_a_short_tmpdir_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert socket_root(LONGEST_PATH - len(str(tmp_path))) == tmp_path


@pytest.mark.parametrize("why", ["too long", "not there", "a file"])
def test_another_is_found_where_tmpdir_will_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    named = {
        "too long": tmp_path / ("d" * 90),
        "not there": tmp_path / "x",
        "a file": tmp_path / "f",
    }
    named["too long"].mkdir()
    named["a file"].touch()
    monkeypatch.setenv("TMPDIR", str(named[why]))
    assert socket_root(60) != named[why]
    below = socket_root(60) / "s" / ("x" * 57)
    assert len(os.fsencode(below)) <= LONGEST_PATH
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
        probe.connect(str(below))  # and not OSError: AF_UNIX path too long


def test_where_none_is_short_enough_the_places_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_folder, "socket_roots", lambda: iter([tmp_path, tmp_path / "gone"]))
    with pytest.raises(SettingsError, match=r"tried .* \(too long\), .*set TMPDIR to a folder"):
        socket_root(LONGEST_PATH)
