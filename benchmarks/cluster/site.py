"""Machines that run everfresh, and what an operator or an accident does to them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import psutil

from benchmarks.cluster.network import Machine
from benchmarks.cluster.services import MACHINE_PORT, Services
from benchmarks.harness.steps import Step, taken
from benchmarks.harness.waiting import wait_until
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.infra.run.run_record import read_record

START_S = 600.0
_STOP_S = 60.0
_FRESH_MS = 2_000
_SETTINGS = {
    "KAFKA__PARTITIONS": "2",
    "WINDOWS__SECONDS": "4",
    "STATE__SNAPSHOT_EVERY_S": "10",
    "SERVING__HOST": "0.0.0.0",
    "SERVING__PORT": str(MACHINE_PORT),
    "SERVING__REPLICAS": "1",
    "SERVING__STATE_WAIT_MS": "3000",
}


class Site:
    """What runs on each machine."""

    def __init__(self, found: Services, so_far: Callable[[], str]) -> None:
        """``so_far`` says what came of the requests until now."""
        self._so_far = so_far
        self.steps: list[Step] = []
        self._settings = {
            **found.settings,
            **{f"EVERFRESH_{name}": value for name, value in _SETTINGS.items()},
        }
        self._running: dict[str, ChildProcess] = {}

    def step(self, name: str) -> AbstractContextManager[None]:
        """What is done meanwhile is the step of that name."""
        return taken(self.steps, name, self._so_far)

    def start(self, on: Machine, *words: str) -> None:
        """``everfresh up`` there; returns when the process is started."""
        self._running[on.name] = on.everfresh("up.out", "up", *words, **self._settings)

    def await_ready(self, on: Machine) -> None:
        """Until its door says that it is ready."""
        self._until(on, lambda: ask(on, "readyz")[0] == 200, "to answer")

    def await_fresh(self, on: Machine) -> None:
        """Until it is ready and its state is that of a moment ago."""

        def is_fresh() -> bool:
            status, health = ask(on, "healthz")
            age_ms = health.get("state_age_ms")
            return status == 200 and age_ms is not None and age_ms < _FRESH_MS

        self._until(on, is_fresh, "to have fresh state")

    def stop(self, on: Machine) -> None:
        """As an operator stops it."""
        process = self._running.pop(on.name)
        os.kill(process.pid, signal.SIGTERM)
        wait_until(lambda: process.poll() is not None, f"{on.name} to stop", _STOP_S)

    def end_part(self, on: Machine, part: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a part of ``everfresh up`` there; returns once another process has its place."""
        before = _pid(on, part)
        os.kill(before, how)
        self._until(on, lambda: _pid(on, part) not in (0, before), f"to start its {part} again")

    def kill(self, on: Machine, program: str) -> None:
        """``kill -9`` all processes there whose name or command begins so."""
        for process in on.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == program or process.cmdline()[:1] == [program]:
                    process.kill()

    def _until(self, on: Machine, true: Callable[[], bool], what: str) -> None:
        def holds() -> bool:
            if (code := self._running[on.name].poll()) is not None:
                said = (on.home / "up.out").read_text()[-2000:]
                raise RuntimeError(f"{on.name} ended with {code}: {said}")
            return true()

        wait_until(holds, f"{on.name} {what}", START_S)


def url(on: Machine) -> str:
    """Its door."""
    return f"http://{on.address}:{MACHINE_PORT}"


def ask(on: Machine, path: str) -> tuple[int, dict[str, Any]]:
    """Status and body of ``GET`` at its door; 0 where nothing answers."""
    with contextlib.suppress(httpx.HTTPError, ValueError):
        answer = httpx.get(f"{url(on)}/{path}", trust_env=False)
        return answer.status_code, answer.json()
    return 0, {}


def version_of(on: Machine) -> int:
    """What it answers with; 0 where it does not say."""
    return int(ask(on, "v1/version")[1].get("version") or 0)


def _pid(on: Machine, part: str) -> int:
    """0 while it is not there."""
    record = read_record(on.home / ".everfresh")
    found = record.components.get(part) if record else None
    return found.pid if found else 0
