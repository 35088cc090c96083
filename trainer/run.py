"""The loop in a thread of its own, with a status every second: what the actor hosts.

Knows no Ray, so that it is tested without it. A stop is heard at the next step boundary, where
stopping is harmless by the table in ``trainer.loop``; nothing needs to be undone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.ports import Clock, ReportSink, TrainerStore, WindowSource
from everfresh.contracts.settings import Settings
from everfresh.trainer.learning.device import prepare_device
from everfresh.trainer.learning.training import TrainWindow, train_window
from everfresh.trainer.loop import TrainerLoop
from everfresh.trainer.scoring import reporting
from everfresh.trainer.scoring.reporting import Figures

POLL_MS = 200
"""How long one read waits for records; also about how long a stop waits for an idle loop."""

STATUS_S = 1.0

_LOG = logging.getLogger("everfresh.trainer")


@dataclass(frozen=True)
class TrainerPorts:
    """What one run reads and writes, opened in the process that trains; ``close`` closes all."""

    source: WindowSource
    store: TrainerStore
    reports: ReportSink
    close: Callable[[], None]


class RunStatus(msgspec.Struct, frozen=True):
    """How a run stands. ``state`` is ``starting``, ``running``, ``stopped`` or ``failed``.

    ``error`` is the one line of a failure, for the operator; ``figures`` are those of the loop.
    """

    state: str
    error: str | None
    figures: Figures


class _StopAsked(Exception):
    pass


class TrainerRun:
    """One start of the trainer. ``open_ports`` is called in the thread: it may connect and wait."""

    def __init__(
        self,
        settings: Settings,
        open_ports: Callable[[Settings], TrainerPorts],
        clock: Clock,
        train: TrainWindow = train_window,
    ) -> None:
        self._settings = settings
        self._open_ports = open_ports
        self._clock = clock
        self._train_window = train
        self._asked = threading.Event()
        self._ended = threading.Event()
        self._loop: TrainerLoop | None = None
        self._state = "starting"
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name="trainer-loop", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask for the end and wait for it; whether it came within ``timeout_s``."""
        self._asked.set()
        return self.wait(timeout_s)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, however it comes; whether it came within ``timeout_s``."""
        return self._ended.wait(timeout_s)

    def status(self) -> RunStatus:
        """A snapshot, from any thread."""
        figures = self._loop.figures if self._loop else Figures()
        return RunStatus(self._state, self._error, figures)

    def _run(self) -> None:
        try:
            prepare_device(self._settings.trainer.device)
            ports = self._open_ports(self._settings)
            try:
                self._train(ports)
            finally:
                ports.close()
        except _StopAsked:
            self._state = "stopped"
        except EverfreshError as error:
            self._fail(str(error))
        except Exception as error:
            _LOG.exception("the trainer stopped on an unexpected error")
            self._fail(f"unexpected {type(error).__name__}: {error}; the trainer's log has more")
        finally:
            self._ended.set()

    def _fail(self, line: str) -> None:
        _LOG.error("%s", line)
        self._error, self._state = line, "failed"

    def _train(self, ports: TrainerPorts) -> None:
        loop = TrainerLoop(
            self._settings,
            ports.source,
            ports.store,
            ports.reports,
            self._clock,
            self._boundary,
            self._train_window,
        )
        self._loop, self._state = loop, "running"
        _LOG.info("running from version %d", loop.figures.version)
        speaker = threading.Thread(target=self._speak, args=(loop, ports.reports), daemon=True)
        speaker.start()
        try:
            while True:
                if report := loop.step(POLL_MS):
                    _LOG.info(
                        "version %d from window %d: %d events, %s",
                        report.version,
                        report.label,
                        report.events,
                        " ".join(f"{name} {took:.2f}s" for name, took in report.seconds.items()),
                    )
        finally:
            self._asked.set()
            speaker.join()
            ports.reports.status(reporting.status(loop.figures, "stopped", self._clock()))

    def _boundary(self, step: str) -> None:
        if self._asked.is_set():
            raise _StopAsked(step)

    def _speak(self, loop: TrainerLoop, reports: ReportSink) -> None:
        while True:
            reports.status(reporting.status(loop.figures, "running", self._clock()))
            if self._asked.wait(STATUS_S):
                return


def wall_clock() -> int:
    """UTC milliseconds of this machine."""
    return time.time_ns() // 1_000_000
