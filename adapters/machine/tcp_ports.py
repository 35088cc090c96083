"""TCP ports and addresses: finding free ports, and checking that an address answers."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import socket
from collections import deque

from everfresh.contracts.errors import SettingsError, Unreachable

# Below Linux's range for outgoing connections (32768 and up), which could take a port first.
_RANGE = range(20_000, 32_000)

# File descriptors of the ports that this process was given last.
_reserved: deque[int] = deque()
_MOST_RESERVED = 64


def free_ports(number: int, host: str = "127.0.0.1") -> list[int]:
    """Different random ports that were free a moment ago.

    Processes that ask at the same time get different ones: see :func:`_reserve`.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as open_sockets:
        for port in random.sample(_RANGE, len(_RANGE)):
            probe = open_sockets.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                _reserve(port)
                ports.append(port)
            if len(ports) == number:
                return ports
    raise Unreachable(f"fewer than {number} free ports on {host}; stop what uses them")


def _reserve(port: int) -> None:
    """``OSError`` where another process of everfresh was given this port shortly before.

    Kafka or Ray takes its port seconds after it was chosen. Until then an abstract Unix socket
    with the port in its name says that it is promised; the kernel removes it with the process.
    """
    with socket.socket(socket.AF_UNIX) as reservation:
        reservation.bind(f"\0everfresh-port-{port}")
        _reserved.append(reservation.detach())
    if len(_reserved) > _MOST_RESERVED:
        os.close(_reserved.popleft())


def require_free(host: str, port: int, setting: str) -> None:
    """``Unreachable`` where the port is taken; ``setting`` is what the operator can change."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unreachable(
                f"{setting} is {port}, and {host}:{port} cannot be taken ({error.strerror}); "
                "choose another port, or 0 for a free one"
            ) from error


def accepts_connections(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether a TCP connection is accepted there."""
    with contextlib.suppress(OSError), connected(host, port, timeout_s):
        return True
    return False


def connected(host: str, port: int, timeout_s: float) -> socket.socket:
    """A TCP connection; ``OSError`` where none is accepted in time."""
    connection, itself = socket.create_connection((host, port), timeout_s), False
    # Where the other side has hung up already, it is another one.
    with contextlib.suppress(OSError):
        itself = connection.getsockname() == connection.getpeername()
    # A socket can connect to itself while it waits for a port nobody serves.
    if itself:
        connection.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    return connection


def bracketed(host: str) -> str:
    """A host as it stands before a port: an IPv6 address is in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_address(text: str, setting: str) -> tuple[str, int]:
    """``host:port`` as a pair; ``SettingsError`` that names the setting otherwise."""
    host, _, port = text.strip().rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
        raise SettingsError(f"{setting} must be host:port, found {text[:80]!r}")
    host = host.strip("[]")
    try:
        host.encode("idna")
    except UnicodeError:
        raise SettingsError(
            f"{setting} must be host:port, found {text[:80]!r}, whose host is no host's name"
        ) from None
    return host, int(port)


def require_reachable(address: str, setting: str, what: str) -> None:
    """``Unreachable`` unless ``address``, a ``host:port``, accepts a connection."""
    host, port = parse_address(address, setting)
    if not accepts_connections(host, port, timeout_s=3.0):
        raise Unreachable(
            f"no {what} answers at {address}; start it, correct {setting}, "
            "or leave it out to have one started here"
        )


class ListenerWatch:
    """Whether something goes on listening at an address. Look about once a second."""

    _MISSES = 3

    def __init__(self, address: str, setting: str) -> None:
        self._host, self._port = parse_address(address, setting)
        self._missed = 0

    def look(self) -> bool:
        """Whether something listens now."""
        listens = accepts_connections(self._host, self._port)
        self._missed = 0 if listens else self._missed + 1
        return listens

    @property
    def gone(self) -> bool:
        """Whether the last three looks found nothing."""
        return self._missed >= self._MISSES
