"""Free ports, taken ports and addresses that nobody answers at."""

from __future__ import annotations

import socket

import pytest

from everfresh.adapters.machine.tcp_ports import (
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


def test_an_address_where_nobody_answers_is_unreachable() -> None:
    [port] = free_ports(1)
    with pytest.raises(Unreachable, match=r"no Ray cluster answers at 127.0.0.1:\d+"):
        require_reachable(f"127.0.0.1:{port}", "--ray-address", "Ray cluster")


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:70000", "host:x"])
def test_a_wrong_address_names_the_setting(text: str) -> None:
    with pytest.raises(SettingsError, match=r"ray\.address must be host:port"):
        parse_address(text, "ray.address")
