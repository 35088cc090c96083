"""A home keeps its number, and a new one has another."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from everfresh.adapters.machine.home_identity import home_place


def test_a_home_keeps_its_number_and_one_that_is_made_anew_has_another(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = home_place(home)
    assert home_place(home) == first
    assert first.partition("#")[0].endswith(f":{home}")
    shutil.rmtree(home)
    assert home_place(home) != first


NUMBER = b"0123456789abcdef"


@pytest.mark.parametrize(
    "left",
    [b"", b"4a1b", b"4a1b\n", bytes(16), b"\xff" * 16, b"\x1b[31m" + NUMBER, NUMBER * 2, b"A" * 16],
)
def test_what_a_kill_a_full_disk_or_somebody_else_left_is_no_number_and_one_is_made(
    tmp_path: Path, left: bytes
) -> None:
    (tmp_path / "id").write_bytes(left)
    place = home_place(tmp_path)
    number = place.rpartition("#")[2]
    assert len(number) == 16
    assert home_place(tmp_path) == place
    assert (tmp_path / "id").read_text() == number


def test_a_home_that_may_only_be_read_keeps_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "id").write_bytes(NUMBER + b"\n")
    opened = Path.open

    def open_to_read(path: Path, mode: str = "r") -> Any:
        if mode != "rb":
            raise PermissionError(f"{path} may only be read")
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", open_to_read)
    assert home_place(tmp_path).endswith(f"#{NUMBER.decode()}")


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
