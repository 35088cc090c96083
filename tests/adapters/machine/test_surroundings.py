"""What an environment made for other programs is corrected to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from everfresh.adapters.machine.surroundings import spare_loopback, speak_utf8

HERE = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY"])
def test_where_a_proxy_is_named_loopback_is_not_asked_of_it(name: str) -> None:
    environment = {name: "http://proxy:3128"}
    spare_loopback(environment)
    assert environment == {
        name: "http://proxy:3128",
        "no_proxy": HERE,
        "NO_PROXY": HERE,
        "no_grpc_proxy": HERE,
    }
    spare_loopback(environment)
    assert environment["no_proxy"] == HERE


def test_hosts_that_are_exempt_already_stay_so() -> None:
    environment = {"http_proxy": "http://proxy:3128", "NO_PROXY": "localhost, .corp"}
    spare_loopback(environment)
    assert environment["NO_PROXY"] == "localhost,.corp,127.0.0.1,::1"
    assert environment["no_proxy"] == "localhost,.corp,127.0.0.1,::1"


@pytest.mark.parametrize("environment", [{}, {"http_proxy": ""}, {"no_proxy": "x"}])
def test_without_a_proxy_nothing_is_changed(environment: dict[str, str]) -> None:
    before = dict(environment)
    spare_loopback(environment)
    assert environment == before


@pytest.mark.parametrize(
    ("encoding", "locale"),
    [("ANSI_X3.4-1968", "C.UTF-8"), ("UTF-8", "de_DE"), ("ISO-8859-1", "de_DE")],
)
def test_children_of_a_locale_of_ascii_get_utf8(encoding: str, locale: str) -> None:
    environment = {"LC_ALL": "de_DE"}
    speak_utf8(environment, encoding)
    assert environment["LC_ALL"] == locale


@pytest.mark.process
@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_command_in_a_posix_locale_corrects_it_for_its_children(locale: str) -> None:
    code = (
        "import os; from everfresh.infra.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(os.environ['LC_ALL'])"
    )
    env = {**os.environ, "LC_ALL": locale, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
    )
    assert done.stdout.endswith("\nC.UTF-8\n")
