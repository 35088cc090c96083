"""The driver of serving: one for a home, and it ends when its door was closed from outside."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.contracts.errors import RunError, Unreachable
from everfresh.contracts.settings import Settings
from everfresh.serving import __main__ as driver
from everfresh.serving.ray.haproxy_sockets import SocketFolder


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


def test_a_door_of_ours_has_the_ports_that_are_set_if_they_are_free(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    sockets = SocketFolder(tmp_path, tmp_path)
    [port] = free_ports(1)
    free = Settings(home=tmp_path, serving={"port": port})
    http, grpc = driver._open_door(free, sockets)
    assert http == port
    assert grpc not in (0, port)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Settings(home=tmp_path, serving={"grpc_port": other.getsockname()[1]})
        with pytest.raises(Unreachable, match=r"serving\.grpc_port"):
            driver._open_door(taken, sockets)
    sockets.close()
