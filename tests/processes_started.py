"""Tests that start a process say so by a marker; a test that starts one without it fails."""

from __future__ import annotations

import multiprocessing.util
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MARKERS = ("integration", "process")

# What Python and libraries ask once and remember: matplotlib for the fonts, ``platform`` for the
# processor. It is chance in which test.
IGNORED = ("fc-list", "uname")

_started: list[str] = []


def _noting(function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
    def noted(*args: Any, **options: Any) -> Any:
        _started.append(name(*args))
        return function(*args, **options)

    return noted


def _program(_: object, command: Any = "", *rest: Any) -> str:
    words = command if isinstance(command, (list, tuple)) else [command]
    return str(words[0])


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    patch.setattr(subprocess.Popen, "__init__", _noting(subprocess.Popen.__init__, _program))
    patch.setattr(os, "fork", _noting(os.fork, lambda: "a fork"))
    for owner, name in ((os, "posix_spawn"), (multiprocessing.util, "spawnv_passfds")):
        patch.setattr(owner, name, _noting(getattr(owner, name), lambda path, *_: str(path)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _started.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    yield
    programs = [program for program in _started if Path(program).name not in IGNORED]
    if programs and not any(item.get_closest_marker(name) for name in MARKERS):
        pytest.fail(
            f"it started {', '.join(programs)}; mark it with @pytest.mark.process, "
            "so that `make test-fast` leaves it out"
        )
