"""One track as the trainer trains it: a loop of its own, what it costs, and how it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import msgspec

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.ports import ReportSink, WindowSource
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.trainer.loop import Consumed, TrainerLoop
from everfresh.trainer.scoring.reporting import Figures, status

OpenSource = Callable[[], AbstractContextManager[WindowSource]]
"""Opens the windows topic once more: each track has a place of its own in it."""

StartLoop = Callable[[Track | None, WindowSource, ReportSink], TrainerLoop]
"""A loop for a track (``None``: the default one), over a source and a sink."""

_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 120.0
_LOG = logging.getLogger("everfresh.trainer")


class TrackReports:
    """A ``ReportSink`` that writes a track's name into what its loop reports."""

    def __init__(self, sink: ReportSink, track: str) -> None:
        self._sink = sink
        self._track = track

    def window(self, report: WindowReport) -> None:
        """See the port."""
        self._sink.window(msgspec.structs.replace(report, track=self._track))

    def status(self, status: ComponentStatus) -> None:
        """See the port."""
        self._sink.status(status)


class Line:
    """Built once for each track, used by one thread; ``figures`` may be read by any.

    An error ends the loop, not the line: after a pause, which grows from try to try, the loop is
    built anew from what the store says, as after any restart (law 5).
    """

    def __init__(
        self, track: Track | None, start: StartLoop, open_source: OpenSource, reports: ReportSink
    ) -> None:
        self.track = track
        self.name = DEFAULT if track is None else track.name
        self._start = start
        self._open_source = open_source
        self._reports = reports if track is None else TrackReports(reports, track.name)
        self._opened = ExitStack()
        self._loop: TrainerLoop | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._not_before_s = 0.0
        self._processor_s, self._windows = 0.0, 0
        self._last = Figures()
        self.error: Exception | None = None

    def open(self) -> None:
        """Build the loop; an error is kept in ``error`` and said once."""
        try:
            self._built()
        except Exception as error:
            self._fail(error)

    def step(self, timeout_ms: int) -> WindowReport | None:
        """As ``TrainerLoop.step``; an error is kept as by :meth:`open`."""
        if self.error is not None and time.monotonic() < self._not_before_s:
            return None
        before = time.process_time()
        try:
            report = self._built().step(timeout_ms)
        except Exception as error:
            self._fail(error)
            return None
        self.error = None
        if report is not None:
            self._pause_s = _FIRST_PAUSE_S
            self._windows += 1
            self._processor_s += time.process_time() - before
        return report

    def take_consumed(self) -> Consumed | None:
        """The window that the last step has trained or held, once."""
        if self._loop is None:
            return None
        taken, self._loop.consumed = self._loop.consumed, None
        return taken

    def figures(self) -> Figures:
        """Those of the loop, and what the line has cost."""
        loop = self._loop
        figures = self._last if loop is None else loop.figures
        mean = self._processor_s / self._windows if self._windows else 0.0
        return msgspec.structs.replace(
            figures,
            failed="" if self.error is None else str(self.error),
            processor_s=round(self._processor_s, 3),
            processor_per_window_s=round(mean, 4),
        )

    def status(self, state: str, now_ms: int) -> ComponentStatus:
        """The line's word on itself; it is ``failed`` while it waits to be tried again."""
        said = "failed" if self.error is not None and state == "running" else state
        return status(self.figures(), said, now_ms, self.name)

    def declare(self, track: Track) -> None:
        """The same track with another audience: the loop is built anew."""
        self.track = track
        self._drop()

    def close(self) -> None:
        """End the connection; the line is not used again."""
        self._drop()

    def _built(self) -> TrainerLoop:
        if self._loop is None:
            source = self._opened.enter_context(self._open_source())
            self._loop = self._start(self.track, source, self._reports)
            _LOG.info("track %s runs from version %d", self.name, self._loop.figures.version)
        return self._loop

    def _fail(self, error: Exception) -> None:
        if str(error) != str(self.error):
            unexpected = None if isinstance(error, EverfreshError) else error
            _LOG.error(
                "track %s stands still, and is tried again: %s: %s",
                self.name,
                type(error).__name__,
                error,
                exc_info=unexpected,
            )
        self.error = error
        self._not_before_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._drop()

    def _drop(self) -> None:
        if self._loop is not None:
            self._last, self._loop = self._loop.figures, None
        self._opened.close()
