"""Free ports, taken ports and addresses that nobody answers at."""

from __future__ import annotations

import os
import socket
from collections import deque

import pytest

from everfresh.adapters.machine import tcp_ports
from everfresh.adapters.machine.tcp_ports import (
    ListenerWatch,
    accepts_connections,
    free_ports,
    parse_address,
    require_free,
    require_reachable,
)
from everfresh.contracts.errors import SettingsError, Unreachable


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            Unreachable, match=rf"serving.port is {port}.*choose another port, or 0"
        ):
            require_free("127.0.0.1", port, "serving.port")


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        require_free("127.0.0.1", port, "port")


def test_a_port_that_another_process_was_given_is_not_given_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = sorted(free_ports(2))
    monkeypatch.setattr(tcp_ports, "_reserved", deque())  # as in a process that was given neither
    monkeypatch.setattr(tcp_ports, "_RANGE", (first, second))
    with pytest.raises(Unreachable, match="fewer than 1 free ports"):
        free_ports(1)


def test_of_the_ports_given_to_this_process_the_last_ones_stay_reserved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp_ports, "_reserved", reserved := deque())
    monkeypatch.setattr(tcp_ports, "_MOST_RESERVED", 2)
    ports = free_ports(3)
    assert len(reserved) == 2
    monkeypatch.setattr(tcp_ports, "_RANGE", ports)
    assert free_ports(1) == ports[:1]
    for descriptor in reserved:
        os.close(descriptor)


def test_an_address_where_nobody_answers_is_unreachable() -> None:
    [port] = free_ports(1)
    with pytest.raises(Unreachable, match=r"no Ray cluster answers at 127.0.0.1:\d+"):
        require_reachable(f"127.0.0.1:{port}", "--ray-address", "Ray cluster")


def test_a_socket_that_is_connected_to_itself_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def to_itself(address: tuple[str, int], timeout_s: float) -> socket.socket:
        connection = socket.socket()
        connection.settimeout(timeout_s)
        connection.bind(address)
        connection.connect(address)
        return connection

    [port] = free_ports(1)
    monkeypatch.setattr(socket, "create_connection", to_itself)
    assert not accepts_connections("127.0.0.1", port)


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:70000", "host:x"])
def test_a_wrong_address_names_the_setting(text: str) -> None:
    with pytest.raises(SettingsError, match=r"ray\.address must be host:port"):
        parse_address(text, "ray.address")


def test_a_listener_is_gone_after_three_looks_in_a_row_that_found_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        watch = ListenerWatch(address, "ray.address")
        assert watch.look()
    found = [(watch.look(), watch.gone) for _ in range(3)]
    assert found == [(False, False), (False, False), (False, True)]
