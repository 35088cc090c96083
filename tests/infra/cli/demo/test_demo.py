"""The demo's folder and speed. Nothing is started here."""

from __future__ import annotations

from pathlib import Path

import pytest

from everfresh.contracts.errors import RunError
from everfresh.infra.cli.demo.demo import _MARKER, _renew, _speed
from everfresh.infra.run.run_record import lock_home


def test_the_demos_speed_fits_its_budget_and_is_never_slow() -> None:
    assert _speed(100_000, 30.0) == pytest.approx(1_000, rel=0.2)
    assert _speed(100_000, 80.0) > _speed(100_000, 30.0)
    assert _speed(40_000, 30.0) == _speed(6_000, 30.0) == 400.0
    assert _speed(100_000, 1e6) == 10_000.0


def test_the_demo_renews_its_own_folder_and_refuses_another(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    _renew(home)
    (home / "old").write_text("")
    _renew(home)
    assert [path.name for path in home.iterdir()] == [_MARKER]
    (home / _MARKER).unlink()
    (home / "precious").write_text("")
    with pytest.raises(RunError, match="was not made by a demo"):
        _renew(home)
    assert (home / "precious").exists()


def test_the_demo_does_not_take_a_home_that_is_up(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    _renew(home)
    with lock_home(home), pytest.raises(RunError, match="is up already"):
        _renew(home)
    assert home.exists()
