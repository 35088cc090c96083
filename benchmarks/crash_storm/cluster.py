"""What can be killed: one broker on its data, and workers on machines of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.components import settings_environment

_STARTS = 3
TRAINER = ("benchmarks.crash_storm.training",)
SLOTS = (("a", 0), ("a", 1), ("b", 0))
"""Workers by machine and number on it. A machine has one home, which its workers share."""


class RestartedProcess:
    """``python -m ARGUMENTS``, which is started again when it ends by itself."""

    def __init__(self, arguments: Sequence[str], settings: Settings, log: Path) -> None:
        self.settings = settings
        self._arguments = arguments
        self._log = log
        self._process: ChildProcess | None = None
        self.wanted = False
        self.exits: list[str] = []

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it if it does not run."""
        self.wanted = True
        if self.running:
            return
        with self._log.open("wb") as file:
            self._process = ChildProcess(
                [sys.executable, "-m", *self._arguments],
                env={**os.environ, **settings_environment(self.settings), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=file,
            )

    def revive(self) -> None:
        """Start it again where it ended by itself, and keep what it said."""
        if self.wanted and self._process is not None and not self.running:
            self.exits.append(self._log.read_text(errors="replace").strip()[-2000:])
            self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send it to the process, where it still runs."""
        if self._process is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def kill(self) -> None:
        """kill -9; it stays down until started."""
        self.wanted = False
        self.signal(signal.SIGKILL)
        self._join()

    def stop(self) -> None:
        """SIGTERM, as an operator takes a worker away."""
        self.wanted = False
        self.signal(signal.SIGCONT)
        if self._process is not None:
            self._process.stop(10.0)
            self._process = None

    def _join(self) -> None:
        if self._process is not None:
            self._process.stop(1.0)
            self._process = None


class Broker:
    """The one broker of all lanes. It may be killed from any thread."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        """``broker`` runs, on a port that it keeps."""
        self._broker = broker
        self._lock = threading.Lock()
        self._restart: threading.Thread | None = None
        self._failure: list[BaseException] = []

    def kill(self) -> None:
        """kill -9, and start it again on its data, beside whatever else happens; where it is dead
        already, nothing."""
        with self._lock:
            if self._restart is not None and self._restart.is_alive():
                return
            os.kill(self._broker.pid, signal.SIGKILL)
            self._broker.stop()
            restart = threading.Thread(target=self._start, daemon=True)
            restart.start()
            self._restart = restart

    def join(self) -> None:
        """Return once it answers again; raises what kept it from that."""
        restart = self._restart
        if restart is not None:
            restart.join()
        if self._failure:
            raise self._failure[0]

    def _start(self) -> None:
        for left in reversed(range(_STARTS)):
            try:
                self._broker.start()
                return
            except BaseException as error:  # raised where it is joined
                # A loaded machine may take longer than the broker's own limit.
                if not left:
                    self._failure.append(error)


class Cluster:
    """The broker, and one lane's workers and, perhaps, trainer: fresh topics, and fresh homes
    under ``folder``."""

    def __init__(self, broker: Broker, settings: Settings, folder: Path, trains: bool) -> None:
        self.broker = broker
        self.settings = settings
        self.trainer = (
            RestartedProcess(TRAINER, settings, folder / "trainer.err") if trains else None
        )
        self.workers: dict[tuple[str, int], RestartedProcess] = {}
        for machine, index in SLOTS:
            home = folder / machine
            home.mkdir(parents=True, exist_ok=True)
            own = settings.model_copy(update={"home": home})
            arguments = ("everfresh.streaming", "--index", str(index))
            log = folder / f"{machine}{index}.err"
            self.workers[machine, index] = RestartedProcess(arguments, own, log)

    @property
    def processes(self) -> list[RestartedProcess]:
        """Workers and trainer."""
        return [*self.workers.values(), *([self.trainer] if self.trainer else [])]

    def running(self) -> list[tuple[str, int]]:
        """Slots whose workers are wanted."""
        return [slot for slot, worker in self.workers.items() if worker.wanted]

    def lose(self, machine: str) -> None:
        """All workers of a machine killed -9, and its state deleted; they start anew."""
        lost = [worker for slot, worker in self.workers.items() if slot[0] == machine]
        back = [worker for worker in lost if worker.wanted]
        for worker in lost:
            worker.kill()
        shutil.rmtree(lost[0].settings.state_dir, ignore_errors=True)
        for worker in back:
            worker.start()

    def states(self) -> list[tuple[int, Path]]:
        """Partition and directory of every state that lies on a machine."""
        prefix = topic_name(self.settings.kafka.topic_prefix, EVENTS) + "-"
        homes = {worker.settings.state_dir for worker in self.workers.values()}
        return [
            (int(path.name.removeprefix(prefix)), path)
            for home in sorted(homes)
            if home.is_dir()
            for path in sorted(home.iterdir())
            if path.name.removeprefix(prefix).isdecimal()
        ]

    def revive(self) -> None:
        """What a supervisor does: start again what ended by itself."""
        for process in self.processes:
            process.revive()

    def close(self) -> None:
        """End every process; the broker belongs to the caller."""
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.kill()
