"""Processes under measurement: started in groups of their own, ended whole, watched as trees."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil

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
def child(command: list[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own; the whole group is ended afterwards."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Told:
    """The newest object that a peer has printed; its ``events`` count, its probes' ages."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.events = 0
        self.ages_ms: list[float] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
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
