"""The folder of HAProxy's sockets lasts as long as the door."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from everfresh.serving.ray.haproxy_sockets import SocketFolder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def test_a_folder_ends_with_its_driver_and_is_closed_to_others(home: Path) -> None:
    folder = SocketFolder(home, home)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.use()
    folder.close()
    assert not folder.path.exists()
    assert not (home / "run" / "sockets").exists()


def test_the_folder_of_a_door_that_stays_for_others_stays_until_the_next_door(home: Path) -> None:
    first = SocketFolder(home, home)
    first.use()
    first.keep()
    first.close()
    assert first.path.exists()
    # The same home again, behind the door that it once opened: twice.
    for _ in range(2):
        behind = SocketFolder(home, home)
        behind.keep()
        behind.close()
        assert first.path.exists()
        assert not behind.path.exists()
    anew = SocketFolder(home, home)
    anew.use()
    assert not first.path.exists()
    anew.close()
    assert not anew.path.exists()


def test_nothing_else_is_removed_whatever_the_record_says(home: Path) -> None:
    kept = home / "kept"
    kept.mkdir()
    (home / "run" / "sockets").write_text(str(kept))
    folder = SocketFolder(home, home)
    folder.use()
    folder.close()
    assert kept.exists()
