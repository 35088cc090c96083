"""A network of a test's own, with an address that is not loopback. Needs root, and no program."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

import pytest

ADDRESS = "10.77.0.1"
"""All of 10.0.0.0/8 is this machine inside the namespace."""

_CLONE_NEWNET = 0x40000000
_SIOCSIFADDR, _SIOCSIFFLAGS, _UP_AND_RUNNING = 0x8916, 0x8914, 0x41


@contextlib.contextmanager
def network_namespace() -> Iterator[str]:
    """This thread, and all threads and processes it starts inside, have a network of their own."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:
            pytest.skip(f"no network namespace without root: {os.strerror(ctypes.get_errno())}")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                address = struct.pack("H2x4s8x", socket.AF_INET, socket.inet_aton(ADDRESS))
                _configure(any_socket, _SIOCSIFFLAGS, b"lo", struct.pack("h14x", _UP_AND_RUNNING))
                _configure(any_socket, _SIOCSIFADDR, b"lo:1", address)
            yield ADDRESS
        finally:
            assert libc.setns(before, _CLONE_NEWNET) == 0, "back in the network of the machine"
    finally:
        os.close(before)


def _configure(any_socket: socket.socket, request: int, interface: bytes, value: bytes) -> None:
    fcntl.ioctl(any_socket, request, struct.pack("16s16s", interface, value))
