"""What a replica's server has sent when it dies in the middle of an answer; what it waits for."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from everfresh.adapters.machine.tcp_ports import free_ports
from tests.integration.serving_run import wait_until
from tests.serving.ray.dying_server import HOOKED, HURRIED, LONGEST

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]
Ask = Callable[..., bytes]


@contextlib.contextmanager
def running(how: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tests.serving.ray.dying_server", str(port), how]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            yield process, port
        finally:
            process.kill()


@contextlib.contextmanager
def server(how: str) -> Iterator[Ask]:
    with running(how) as (process, port):

        def ask(method: str, path: str, *headers: str) -> bytes:
            """All that comes until the server closes."""
            with connect(process, port) as connection:
                lines = [f"{method} {path} HTTP/1.1", "host: x", "content-length: 4", *headers]
                connection.sendall("\r\n".join([*lines, "connection: close", "", "body"]).encode())
                return b"".join(iter(lambda: connection.recv(65536), b""))

        yield ask


def connect(process: subprocess.Popen[bytes], port: int) -> socket.socket:
    while process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("the server has ended")


def test_killed_between_head_and_body_nothing_of_the_answer_has_left() -> None:
    with server(HOOKED) as ask:
        assert ask("POST", "/die") == b""


def test_without_the_hook_the_answer_would_be_torn() -> None:
    with server("plain") as ask:
        assert ask("POST", "/die").endswith(b"\r\n\r\n"), "the head alone"


@pytest.fixture(scope="module")
def hooked() -> Iterator[Ask]:
    with server(HOOKED) as ask:
        yield ask


def test_an_app_that_fails_between_head_and_body_sends_nothing(hooked: Ask) -> None:
    assert hooked("POST", "/fail") == b""


def test_whole_answers_come_whole(hooked: Ask) -> None:
    assert hooked("POST", "/").endswith(b"\r\n\r\nbody")
    assert hooked("HEAD", "/").endswith(b"\r\n\r\n")


def test_who_waits_to_be_told_to_go_on_is_told(hooked: Ask) -> None:
    answer = hooked("POST", "/", "expect: 100-continue")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nbody")


@pytest.fixture(scope="module")
def hurried() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with running(HURRIED) as made:
        yield made


HEAD = b"POST /unread HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        HEAD,
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nbody",
        HEAD + b"content-length: 9\r\n\r\nbody",
        HEAD + b"content-length: 4\r\n\r\nbody" + HEAD,
        HEAD + b"x-a: " + bytes(2 * LONGEST).replace(b"\0", b"a"),
    ],
)
def test_a_request_that_does_not_arrive_whole_ends_its_connection(
    hurried: tuple[subprocess.Popen[bytes], int], raw: bytes
) -> None:
    with connect(*hurried) as connection:
        connection.settimeout(240)
        with contextlib.suppress(ConnectionError):
            for piece in (raw[:20], raw[20:]):
                connection.sendall(piece)
            while connection.recv(65_536):
                pass


def test_a_client_that_never_takes_its_answer_loses_its_connection(
    hurried: tuple[subprocess.Popen[bytes], int],
) -> None:
    process, _ = hurried
    with connect(*hurried) as connection:
        here = connection.getsockname()
        connection.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        connection.recv(1)

        def is_held() -> bool:
            there = psutil.Process(process.pid).net_connections("tcp")
            return any(tuple(one.raddr) == here for one in there)

        wait_until(lambda: not is_held(), "the end of the connection")
