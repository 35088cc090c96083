"""A home keeps its number, and a new one has another."""

from __future__ import annotations

import shutil
from pathlib import Path

from everfresh.adapters.machine.home_identity import home_place


def test_a_home_keeps_its_number_and_one_that_is_made_anew_has_another(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = home_place(home)
    assert home_place(home) == first
    assert first.partition("#")[0].endswith(f":{home}")
    shutil.rmtree(home)
    assert home_place(home) != first
