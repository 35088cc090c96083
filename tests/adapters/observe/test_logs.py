"""Log files, and how a program ends: its exit status and the one line of an error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everfresh.adapters.observe.logs import configure_logging, run_main
from everfresh.contracts.errors import DataFileError, SettingsError


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave the root logger, where pytest's own handlers hang, as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level


def raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def test_a_full_disk_is_one_line_with_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_main(raising(OSError(28, "No space left on device", "/x/y")))
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: /x/y cannot be used: No space left on device\n"
    with pytest.raises(FileNotFoundError):
        run_main(raising(FileNotFoundError(2, "gone", "/x")))


def test_a_log_message_is_one_line_that_steers_no_terminal(tmp_path: Path) -> None:
    path = configure_logging("worker-0", tmp_path)
    logging.getLogger("streaming").warning("no user %s", "\x1b[2J\nERROR forged")
    assert path.read_text().endswith("no user \\x1b[2J\\nERROR forged\n")
    assert path.read_text().count("\n") == 1


def test_a_component_writes_to_its_own_file_below_home(tmp_path: Path) -> None:
    path = configure_logging("worker-0", tmp_path)
    logging.getLogger("streaming").info("folded %d", 3)
    assert path == tmp_path / "logs" / "worker-0.log"
    assert path.read_text().endswith("Z INFO streaming: folded 3\n")


def test_a_component_closes_its_home_to_other_users(tmp_path: Path) -> None:
    path = configure_logging("replica-0", tmp_path / "home")
    (tmp_path / "home" / "state").mkdir()
    for each in (path.parents[1], path.parent, path, tmp_path / "home" / "state"):
        assert each.stat().st_mode & 0o077 == 0
    (tmp_path / "home").chmod(0o755)
    (tmp_path / "home" / "of-others").touch()
    configure_logging("replica-0", tmp_path / "home")
    assert "WARNING everfresh: other users can look into" in path.read_text()


def test_talkative_libraries_are_heard_from_warnings_on(tmp_path: Path) -> None:
    path = configure_logging("w", tmp_path)
    logging.getLogger("kafka.conn").info("connected")
    logging.getLogger("kafka.conn").warning("lost")
    assert "connected" not in path.read_text()
    assert "lost" in path.read_text()


def test_a_home_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be written"):
        configure_logging("w", tmp_path / "file")


def test_a_mistake_is_one_line_on_standard_error_and_status_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = configure_logging("w", tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_main(raising(DataFileError("no such\nfile")))
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "error: no such file\n")
    assert "DataFileError: no such file" in path.read_text()


def test_ctrl_c_is_status_130_and_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_main(raising(KeyboardInterrupt()))
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_a_main_that_returns_is_status_0() -> None:
    with pytest.raises(SystemExit) as ended:
        run_main(lambda: None)
    assert ended.value.code == 0


def test_our_own_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_main(raising(ZeroDivisionError()))
