"""Machines of a benchmark: network namespaces on a bridge, which nobody else sees.

All of it lies in one namespace of the benchmark's own, so the kernel removes it with the last
process in it, however the benchmark ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from benchmarks.harness.processes import ROOT
from benchmarks.harness.waiting import wait_until
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.infra.ray_head import remove_temporary_folder
from everfresh.infra.run.run_record import read_record

SERVICES = "10.79.0.1"
"""The address of what a platform offers: Kafka, the object store, the load balancer."""

_INSIDE = "BENCHMARK_NETWORK_OF_ITS_OWN"
_CODE = "from everfresh.infra.cli import main; main()"


def enter(module: str, arguments: Sequence[str]) -> None:
    """Start ``module`` again in a network of its own, unless this is that one. Needs root."""
    if _INSIDE in os.environ:
        del os.environ[_INSIDE]
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "br0", "type", "bridge")
        _ip("addr", "add", f"{SERVICES}/24", "dev", "br0")
        _ip("link", "set", "br0", "up")
        return
    missing = [program for program in ("ip", "unshare", "nsenter") if not shutil.which(program)]
    if missing or os.geteuid():
        sys.exit(f"this benchmark needs root and the programs ip, unshare, nsenter; no {missing}")
    os.environ[_INSIDE] = "1"
    command = ["unshare", "--net", sys.executable, "-m", module, *arguments]
    os.execvp(command[0], command)


class Machine:
    """A namespace with an address of its own; ``home`` is its disk."""

    def __init__(self, number: int, home: Path) -> None:
        self.name, self.address = f"machine{number}", f"10.79.0.{number + 1}"
        self.home = home / self.name
        self.home.mkdir()
        self._link = f"veth{number}"
        self._holder = ChildProcess(["unshare", "--net", "sleep", "infinity"])
        outside = ("", _network_of("self"))
        wait_until(lambda: self._network() not in outside, "a network namespace")
        inside = ["link", "add", self._link, "type", "veth", "peer", "name", "eth0"]
        _ip(*inside, "netns", str(self._holder.pid))
        _ip("link", "set", self._link, "master", "br0", "up")
        for words in (
            f"addr add {self.address}/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
        ):
            subprocess.run([*self._enter(), "ip", *words.split()], check=True)

    def everfresh(self, log: str, *words: str, **settings: str) -> ChildProcess:
        """``everfresh WORDS`` here; what it says is in the file ``log`` of the home."""
        kept = {key: value for key, value in os.environ.items() if "EVERFRESH" not in key}
        with (self.home / log).open("ab") as file:
            return ChildProcess(
                [*self._enter(), sys.executable, "-P", "-c", _CODE, *words],
                stdout=file,
                stderr=file,
                cwd=self.home,
                env={**kept, "PYTHONPATH": str(ROOT), **settings},
            )

    def processes(self) -> list[psutil.Process]:
        """All that run here, but the one that holds the namespace."""
        mine, network = [], self._network()
        for process in psutil.process_iter():
            if process.pid != self._holder.pid and _network_of(process.pid) == network:
                mine.append(process)
        return mine

    def lose(self) -> None:
        """The machine is gone at once: first its network, then all that ran there."""
        _ip("link", "set", self._link, "down")
        # A supervisor would start again what dies before it.
        for process in sorted(self.processes(), key=lambda one: one.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        while running := self.processes():
            for process in running:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def close(self) -> None:
        """Everything here ends, and the namespace with it."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._holder.stop(1.0)
        # What a supervisor removes when it is not killed: folders of sockets.
        home = self.home / ".everfresh"
        if record := read_record(home):
            remove_temporary_folder(record.run_id)
        with contextlib.suppress(OSError):
            shutil.rmtree((home / "run" / "sockets").read_text(), ignore_errors=True)

    def _network(self) -> str:
        return _network_of(self._holder.pid)

    def _enter(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]


@contextlib.contextmanager
def machine(number: int, folder: Path) -> Iterator[Machine]:
    """The machine of that number, from 1 on."""
    made = Machine(number, folder)
    try:
        yield made
    finally:
        made.close()


def _network_of(process: int | str) -> str:
    try:
        return str(Path(f"/proc/{process}/ns/net").readlink())
    except OSError:
        return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
