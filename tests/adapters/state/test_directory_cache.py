"""Names in a folder are read anew exactly where they may have changed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from everfresh.adapters.state.directory_cache import DirectoryCache


def put_back(folder: Path, seconds: float) -> None:
    """Give the folder a time of change that lies so far back."""
    then = time.time_ns() - int(seconds * 1e9)
    os.utime(folder, ns=(then, then))


def test_a_folder_that_has_settled_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    put_back(tmp_path, 60)
    watched = DirectoryCache(tmp_path)
    first = watched.names()
    assert list(first) == ["a"]
    assert watched.names() is first


def test_a_file_that_comes_or_goes_is_seen(tmp_path: Path) -> None:
    put_back(tmp_path, 60)
    watched = DirectoryCache(tmp_path)
    assert list(watched.names()) == []
    (tmp_path / "a").touch()
    assert list(watched.names()) == ["a"]
    (tmp_path / "a").unlink()
    assert list(watched.names()) == []


def test_two_changes_in_one_tick_of_the_file_system_are_both_seen(tmp_path: Path) -> None:
    watched = DirectoryCache(tmp_path)
    (tmp_path / "a").touch()
    before = tmp_path.stat()
    assert list(watched.names()) == ["a"]
    (tmp_path / "b").touch()
    os.utime(tmp_path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sorted(watched.names()) == ["a", "b"]


def test_another_folder_in_its_place_is_seen(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, name in ((old, "a"), (new, "b")):
        folder.mkdir()
        (folder / name).touch()
        put_back(folder, 60)
    about = old.stat()
    watched = DirectoryCache(old)
    assert list(watched.names()) == ["a"]
    old.rename(tmp_path / "gone")
    new.rename(old)
    os.utime(old, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert list(watched.names()) == ["b"]
    (old / "b").unlink()
    old.rmdir()
    with pytest.raises(FileNotFoundError):
        watched.names()
