"""The driver of serving: one for a home, and it ends when its door was closed from outside."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from everfresh.contracts.errors import RunError, Unreachable
from everfresh.serving import __main__ as driver


def test_two_processes_do_not_serve_from_one_home(tmp_path: Path) -> None:
    with (
        driver._only_driver(tmp_path),
        pytest.raises(RunError, match="another process serves from home"),
        driver._only_driver(tmp_path),
    ):
        pass
    with driver._only_driver(tmp_path):
        pass


def test_a_door_that_was_closed_from_outside_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_LOOK_S", 0.0)
    answers = [True, True, False]
    with socket.create_server(("127.0.0.1", 0)) as ray:
        address = f"127.0.0.1:{ray.getsockname()[1]}"
        with pytest.raises(Unreachable, match=f"Ray Serve at {address} has been shut down"):
            driver._wait_while_it_is_there(address, lambda: answers.pop(0))
    assert answers == []


def test_a_ray_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_LOOK_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as ray:
        address = f"127.0.0.1:{ray.getsockname()[1]}"
    with pytest.raises(Unreachable, match=f"Ray at {address} is gone"):
        driver._wait_while_it_is_there(address, lambda: True)
