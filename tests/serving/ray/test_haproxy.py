"""What HAProxy is told beyond Ray's settings, and the launcher, run for real."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from everfresh.serving.ray import haproxy

CONFIG = """defaults
    mode http
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
    server a 127.0.0.1:30000
frontend grpc_frontend
    # Ray says something here.
    bind 127.0.0.1:9000 proto h2
    default_backend one
listen stats
  bind *:8404
  stats enable
"""
TIMEOUT_MS, BODY_BYTES = 300, 1024


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
    path = tmp_path / "a run" / "haproxy"
    launcher = haproxy.write_launcher(path, host, "/bin/echo", TIMEOUT_MS, BODY_BYTES)
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


def test_the_launcher_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "haproxy"
    launcher = haproxy.write_launcher(path, "127.0.0.1", "/bin/true", TIMEOUT_MS, BODY_BYTES)
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
    assert made["RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"] == "13"


@pytest.mark.parametrize("metrics", [True, False])
def test_requests_that_went_well_leave_a_line_only_for_rays_metrics(
    tmp_path: Path, metrics: bool
) -> None:
    launcher = tmp_path / "haproxy"
    haproxy.write_launcher(
        launcher, "127.0.0.1", "/bin/true", TIMEOUT_MS, BODY_BYTES, metrics=metrics
    )
    made = haproxy.environment(tmp_path, [1, 2, 3, 4], launcher, 1024, 2_500, metrics=metrics)
    assert made["RAY_SERVE_HAPROXY_METRICS_ENABLED"] == str(int(metrics))
    silent = "dontlog-normal" in launcher.with_suffix(".defaults").read_text()
    assert silent is not metrics
