"""Processes under measurement: on a leash, ended in order, watched as trees."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil

from everfresh.adapters.machine.child_process import ChildProcess

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".venv-peers"
REQUIREMENTS = ROOT / "benchmarks" / "peers" / "requirements.txt"
_GRACE_S = 15.0


def peers_python() -> str:
    """The peers' interpreter; makes their environment the first time."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        print("making .venv-peers …", file=sys.stderr)
        venv.create(PEERS, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
    return str(python)


@contextlib.contextmanager
def child(command: list[str], env: dict[str, str], log: Path) -> Iterator[ChildProcess]:
    """A process that ends with the block, and with the benchmark where that is killed."""
    with log.open("ab") as errors:
        process = ChildProcess(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield process
    finally:
        process.stop(_GRACE_S)


class Told:
    """The newest object that a peer has printed; its ``events`` count, its probes' ages."""

    def __init__(self, process: ChildProcess) -> None:
        self.events = 0
        self.ages_ms: list[float] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.output():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                said: dict[str, Any] = json.loads(line)
                self.events = said["events"]
                self.ages_ms += said["ages_ms"]


class Used(msgspec.Struct, frozen=True):
    """What some process trees have used so far: CPU seconds, bytes sent to disk, resident bytes."""

    cpu_s: float
    written: int
    resident: int


def used(roots: list[psutil.Process]) -> Used:
    """The sum over ``roots`` and all their children that live."""
    cpu, written, resident = 0.0, 0, 0
    for root in roots:
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                cpu += times.user + times.system
                written += process.io_counters().write_bytes
                resident += process.memory_info().rss
    return Used(cpu, written, resident)
