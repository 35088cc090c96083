"""The tracks' loops in a thread of their own, with a status every second: what the actor hosts.

Knows no Ray, so that it is tested without it. A stop is heard at the next step boundary, where
stopping is harmless by the table in ``trainer.loop``; nothing needs to be undone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.ports import Clock, ReportSink, TrackStore, WindowSource
from everfresh.contracts.report import WindowReport
from everfresh.contracts.settings import Settings
from everfresh.trainer.contents import ItemContents
from everfresh.trainer.learning.device import prepare_device
from everfresh.trainer.learning.training import TrainWindow, train_window
from everfresh.trainer.loop import TrainerLoop
from everfresh.trainer.scoring import reporting
from everfresh.trainer.scoring.reporting import Figures
from everfresh.trainer.tracks.frozen import FrozenTrack
from everfresh.trainer.tracks.line import Line, OpenSource
from everfresh.trainer.tracks.schedule import TrackSchedule

POLL_MS = 200
"""How long one read waits for records; also about how long a stop waits for an idle loop."""

STATUS_S = 1.0

_LOG = logging.getLogger("everfresh.trainer")


@dataclass(frozen=True)
class TrainerPorts:
    """What one run reads and writes, opened in the process that trains; ``close`` closes all.

    ``open_source`` is called for each track, and again where one has failed. ``contents`` are the
    catalogue's, for all tracks.
    """

    open_source: OpenSource
    tracks: TrackStore
    reports: ReportSink
    close: Callable[[], None]
    contents: ItemContents | None = None


class RunStatus(msgspec.Struct, frozen=True):
    """How a run stands. ``state`` is ``starting``, ``running``, ``stopped`` or ``failed``.

    ``error`` is the one line of a failure, for the operator; ``figures`` are those of the default
    track, or of the only one.
    """

    state: str
    error: str | None
    figures: Figures


class _StopAsked(BaseException):
    """No error of a track: it ends them all."""


class TrainerRun:
    """One start of the trainer. ``open_ports`` is called in the thread: it may connect and wait.
    ``only`` names the track that it trains; without it, it trains all."""

    def __init__(
        self,
        settings: Settings,
        open_ports: Callable[[Settings], TrainerPorts],
        clock: Clock,
        train: TrainWindow = train_window,
        only: str | None = None,
    ) -> None:
        self._only = only
        self._settings = settings
        self._open_ports = open_ports
        self._clock = clock
        self._train_window = train
        self._asked = threading.Event()
        self._ended = threading.Event()
        self._schedule: TrackSchedule | None = None
        self.untrained: Mapping[str, str] = {}
        """Why other tracks, of which no process speaks, are not trained; replaced as a whole."""
        self._waited: set[str] = set()
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
        schedule = self._schedule
        figures = schedule.figures() if schedule else Figures()
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
        def start(track: Track | None, source: WindowSource, reports: ReportSink) -> TrainerLoop:
            return TrainerLoop(
                self._settings,
                source,
                ports.tracks.store(track.name if track else DEFAULT),
                reports,
                self._clock,
                self._boundary,
                self._train_window,
                track,
                ports.contents,
            )

        schedule = TrackSchedule(ports.tracks, start, ports.open_source, ports.reports, self._only)
        self._schedule = schedule
        try:
            schedule.open()
            self._state = "running"
            self._go_on(schedule, ports.reports)
        finally:
            schedule.close()

    def _go_on(self, schedule: TrackSchedule, reports: ReportSink) -> None:
        speaker = threading.Thread(target=self._speak, args=(schedule, reports), daemon=True)
        speaker.start()
        try:
            while True:
                self._say_done(schedule.round(POLL_MS))
        finally:
            self._asked.set()
            speaker.join()
            both: dict[str, Line | FrozenTrack] = {**schedule.lines, **schedule.frozen}
            for line in both.values():
                reports.status(line.status("stopped", self._clock()))
            for name in sorted(self._waited - both.keys()):
                reports.status(reporting.status(Figures(), "stopped", self._clock(), name))

    def _say_done(self, done: list[tuple[str, WindowReport]]) -> None:
        for track, report in done:
            _LOG.info(
                "%sversion %d from window %d: %d events, %s",
                "" if track == DEFAULT else f"track {track}: ",
                report.version,
                report.label,
                report.events,
                " ".join(f"{name} {took:.2f}s" for name, took in report.seconds.items()),
            )

    def _boundary(self, step: str) -> None:
        if self._asked.is_set():
            raise _StopAsked(step)

    def _speak(self, schedule: TrackSchedule, reports: ReportSink) -> None:
        spoken: set[str] = set()
        while True:
            lines: dict[str, Line | FrozenTrack] = {**schedule.frozen, **schedule.lines}
            for line in lines.values():
                reports.status(line.status("running", self._clock()))
            causes = {name: why for name, why in self.untrained.items() if name not in lines}
            for name, why in causes.items():
                figures = Figures(failed=why)
                reports.status(reporting.status(figures, "waiting", self._clock(), name))
            # Not of those that waited: their own processes speak for them again.
            for gone in spoken - lines.keys() - causes.keys():
                reports.status(reporting.status(Figures(), "stopped", self._clock(), gone))
            spoken = set(lines)
            self._waited |= causes.keys()
            if self._asked.wait(STATUS_S):
                return


def wall_clock() -> int:
    """UTC milliseconds of this machine."""
    return time.time_ns() // 1_000_000
