"""Other users of the machine read nothing of a home, and a folder that serves them is said."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from everfresh.adapters.machine.private_home import close_home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_made_in_a_home_is_its_owners_alone(tmp_path: Path) -> None:
    home = tmp_path / "deep" / ".everfresh"
    assert close_home(home) == ""
    (home / "state").mkdir()
    (home / "state" / "worker-0.lock").touch()
    assert [mode(path) for path in (home.parent, home, home / "state")] == [0o700] * 3
    assert mode(home / "state" / "worker-0.lock") == 0o600


def test_a_home_that_was_open_is_closed(tmp_path: Path) -> None:
    home = tmp_path / ".everfresh"
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "worker-0.log").touch()
    assert mode(home) == 0o755
    assert close_home(home) == ""
    assert mode(home) == 0o700


def test_a_home_in_a_folder_of_other_files_is_left_open_and_said(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "thesis.txt").touch()
    tmp_path.chmod(0o755)
    said = close_home(tmp_path)
    assert said.startswith(f"other users can look into {tmp_path} (mode 0755)")
    assert "it also holds thesis.txt" in said
    assert (mode(tmp_path), mode(tmp_path / "logs")) == (0o755, 0o755)
    (tmp_path / "run").mkdir()
    assert mode(tmp_path / "run") == 0o700
    tmp_path.chmod(0o700)
    assert close_home(tmp_path) == ""


def test_a_home_whose_mode_cannot_be_changed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o770)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    assert "its mode cannot be changed here" in close_home(tmp_path)
