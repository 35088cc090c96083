"""Commands in an environment that was made for other programs, or by accident."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from everfresh.adapters.machine.endpoint_record import write_endpoint
from everfresh.infra.cli.http_client import client
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.steps import StepPrinter
from everfresh.infra.processes.children import StepUpdate
from tests.infra.cli.command import MAIN, everfresh


@pytest.mark.process
@pytest.mark.parametrize(
    "variables",
    [
        {"COLUMNS": "0", "LINES": "0"},
        {"COLUMNS": "1"},
        {"TERM": "dumb", "NO_COLOR": "1"},
        {"FORCE_COLOR": "1", "TERM": "xterm-256color"},
        {"LC_ALL": "POSIX", "HOME": "/nowhere"},
        {"LC_ALL": "xx_XX.nowhere", "PYTHONOPTIMIZE": "2"},
        {"TMPDIR": "/nowhere", "RAY_ADDRESS": "ray://nowhere:1", "KAFKA_OPTS": "-Xnothing"},
    ],
    ids=" ".join,
)
def test_a_command_does_not_mind(tmp_path: Path, variables: dict[str, str]) -> None:
    code, output, errors = everfresh("settings", cwd=tmp_path, **variables)
    assert (code, errors) == (0, "")
    assert "kafka" in output


@pytest.mark.process
def test_a_folder_that_was_deleted_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD"; "$@"', "sh", *MAIN, "status"],
        cwd=gone, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "error: the folder that you are in was deleted; change into one that exists\n"
    )


@pytest.mark.process
def test_a_proxy_is_not_asked_for_serving(tmp_path: Path) -> None:
    # Nobody answers at either address; what is named is the one that was asked.
    write_endpoint(tmp_path / ".everfresh", "http://127.0.0.1:9", "")
    proxy = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "all_proxy"), "socks5://nowhere.invalid:1")
    code, _, errors = everfresh("recommend", "7", cwd=tmp_path, SSL_CERT_FILE="/nowhere", **proxy)
    assert code == 1
    assert "Connection refused" in errors


def test_a_client_of_serving_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://nowhere.invalid:1")
    with client("http://127.0.0.1:9") as connection:
        assert connection.trust_env is False


def test_what_a_start_waits_for_is_said_now_and_then() -> None:
    shown = io.StringIO()
    steps = StepPrinter(Terminal(file=shown))
    steps(StepUpdate("ray", "begins"))
    for tenth in range(250):
        steps(StepUpdate("ray", "waits", f"line {tenth}", tenth / 10))
    steps(StepUpdate("ray", "done", seconds=25.0))
    assert shown.getvalue() == (
        "waiting for Ray, 10 s so far: line 100\n"
        "waiting for Ray, 20 s so far: line 200\n"
        "✓ Ray   25.0 s  \n"
    )


class _Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("terminal", [True, False])
def test_where_the_terminal_has_gone_stopping_goes_on(terminal: bool) -> None:
    steps = StepPrinter(Terminal(file=_Gone(), force_terminal=terminal))
    for name in ("worker", "broker"):
        steps(StepUpdate(name, "stopping", name))
    steps.end()


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_without_a_width_gets_one(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert Terminal(file=io.StringIO()).width == 80
