"""A home keeps its number, and a new one has another."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from everfresh.adapters.machine.home_identity import home_place


def test_a_home_keeps_its_number_and_one_that_is_made_anew_has_another(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = home_place(home)
    assert home_place(home) == first
    assert first.partition("#")[0].endswith(f":{home}")
    shutil.rmtree(home)
    assert home_place(home) != first


@pytest.mark.parametrize("left", ["", "4a1b", "4a1b\n"])
def test_a_number_that_a_kill_or_a_full_disk_cut_short_is_made_once_more(
    tmp_path: Path, left: str
) -> None:
    (tmp_path / "id").write_text(left)
    place = home_place(tmp_path)
    number = place.rpartition("#")[2]
    assert len(number) == 16
    assert home_place(tmp_path) == place
    assert (tmp_path / "id").read_text() == number


@pytest.mark.parametrize("left", [None, ""])
def test_all_that_start_at_once_have_one_number(tmp_path: Path, left: str | None) -> None:
    together = threading.Barrier(8)

    def place(home: Path) -> str:
        together.wait()
        return home_place(home)

    with ThreadPoolExecutor(8) as threads:
        for turn in range(20):
            home = tmp_path / str(turn)
            if left is not None:
                home.mkdir()
                (home / "id").write_text(left)
            assert len(set(threads.map(place, [home] * 8))) == 1
