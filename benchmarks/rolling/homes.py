"""A home that runs `everfresh up` of one build or another, as a machine would."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.harness.waiting import wait_until
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.infra.processes.processes import end_run
from everfresh.infra.ray_head import remove_temporary_folder
from everfresh.infra.run.run_record import read_record

_START_S, _STOP_S = 400.0, 60.0
_PORT = 8080
_TRIES = 3
_CODE = "from everfresh.infra.cli import main; main()"


class Home:
    """A folder, an address on loopback, and what runs there."""

    def __init__(
        self, number: int, folder: Path, words: list[str], settings: dict[str, str]
    ) -> None:
        self.name = f"home{number}"
        self.folder = folder / self.name
        self.folder.mkdir()
        self.door = f"127.0.7.{number}:{_PORT}"
        self.url = f"http://{self.door}"
        self._words = words
        self._settings = {
            **settings,
            "EVERFRESH_SERVING__HOST": self.door.partition(":")[0],
            "EVERFRESH_SERVING__PORT": str(_PORT),
        }
        self._process: ChildProcess | None = None
        self._build, self._starts = folder, 0

    def start(self, build: Path) -> None:
        """``everfresh up`` of that checkout; returns when the process is started."""
        self._build, self._starts = build, 0
        self._start()

    def _start(self) -> None:
        self._starts += 1
        kept = {key: value for key, value in os.environ.items() if "EVERFRESH" not in key}
        with (self.folder / "up.out").open("ab") as said:
            self._process = ChildProcess(
                [sys.executable, "-P", "-c", _CODE, "up", *self._words],
                stdout=said,
                stderr=said,
                cwd=self.folder,
                env={**kept, "PYTHONPATH": str(self._build), **self._settings},
            )

    def await_ready(self) -> None:
        """Until its door says that a version answers."""
        wait_until(lambda: self._answers("/readyz", {200}), f"{self.name} to answer", _START_S)

    def await_door(self) -> None:
        """Until something answers there, a version or not."""
        wait_until(lambda: self._answers("/healthz", {200, 503}), f"{self.name}'s door", _START_S)

    def stop(self) -> None:
        """As an operator stops it."""
        process, self._process = self._process, None
        assert process is not None, f"{self.name} runs"
        os.kill(process.pid, signal.SIGTERM)
        wait_until(lambda: process.poll() is not None, f"{self.name} to stop", _STOP_S)

    def kill(self, component: str) -> None:
        """``kill -9`` of a component; the supervisor starts it again."""
        record = read_record(self.folder / ".everfresh")
        assert record is not None, f"{self.name} is up"
        os.kill(record.components[component].pid, signal.SIGKILL)

    def close(self) -> None:
        """Whatever still runs ends."""
        record = read_record(self.folder / ".everfresh")
        if self._process is not None:
            self._process.stop(_STOP_S)
        if record is not None:
            end_run(record.run_id)
            remove_temporary_folder(record.run_id)

    def version(self) -> int:
        """What it answers with; 0 where it does not say."""
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            return int(httpx.get(f"{self.url}/v1/version", trust_env=False).json()["version"])
        return 0

    def said(self) -> str:
        """The end of what it printed."""
        return (self.folder / "up.out").read_text()[-2000:]

    def _answers(self, path: str, statuses: set[int]) -> bool:
        assert self._process is not None, f"{self.name} runs"
        if (code := self._process.poll()) is not None:
            if self._starts == _TRIES:
                raise RuntimeError(f"{self.name} ended with {code}: {self.said()}")
            self._start()  # as a service manager would
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}{path}", trust_env=False).status_code in statuses
        return False


@contextlib.contextmanager
def home(number: int, folder: Path, *words: str, **settings: str) -> Iterator[Home]:
    """The home of that number, from 1 on."""
    made = Home(number, folder, list(words), settings)
    try:
        yield made
    finally:
        made.close()
