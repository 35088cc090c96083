"""The launcher that holds HAProxy to an address, run for real on a configuration like Ray's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from serving import haproxy

CONFIG = """defaults
    mode http
frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind {host}:8000
backend one
    server a 127.0.0.1:30000 check
listen stats
  bind *:8404
  stats enable
"""


def binds(path: Path) -> list[str]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return [line[1] for line in lines if line[:1] == ["bind"]]


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_side_doors_get_the_address_of_the_front_door(
    tmp_path: Path, host: str, shown: str
) -> None:
    config = tmp_path / "with a space.cfg"
    config.write_text(CONFIG.replace("{host}", shown))
    launcher = haproxy.write_launcher(tmp_path / "run" / "haproxy", host, "/bin/echo")
    command = [str(launcher), "-db", "-f", str(config), "-sf", "12"]
    for _ in range(2):
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert said == f"-db -f {config} -sf 12\n", "the program gets Ray's own arguments"
        assert binds(config) == [f"{shown}:9101", f"{shown}:8000", f"{shown}:8404"]
    assert "server a 127.0.0.1:30000 check" in config.read_text()


def test_the_launcher_is_its_owners_alone(tmp_path: Path) -> None:
    launcher = haproxy.write_launcher(tmp_path / "haproxy", "127.0.0.1", "/bin/true")
    assert launcher.stat().st_mode & 0o777 == 0o700


def test_every_port_and_socket_is_this_runs_own(tmp_path: Path) -> None:
    launcher = tmp_path / "haproxy"
    made = haproxy.environment(tmp_path, [1001, 1002, 1003, 1004], launcher)
    assert {value for name, value in made.items() if name.endswith("_PORT")} == {
        "1001",
        "1002",
        "1003",
        "1004",
    }
    files = [value for value in made.values() if value.startswith(f"{tmp_path}/")]
    assert len(files) == len(set(files)) == 5
    assert made["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(launcher)


def test_without_a_launcher_rays_own_haproxy_is_used(tmp_path: Path) -> None:
    made = haproxy.environment(tmp_path, [1, 2, 3, 4], None)
    assert "RAY_SERVE_HAPROXY_BINARY_PATH" not in made
