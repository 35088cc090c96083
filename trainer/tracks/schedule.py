"""Which track is trained when: one after another, each one window at most before the next.

All tracks read the same windows, each at its own place (law 3), and each goes on from its own
manifest (law 5). So a track that is held, fails or lags behind stops no other: it waits for its
turn, and takes its windows later. The default track comes first in each round. Frozen tracks are
scored on the windows that it consumes. With ``trainer.beside`` each live track has a schedule of
its own, in a process of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.ports import ReportSink, TrackStore
from everfresh.contracts.report import WindowReport
from everfresh.trainer.scoring.reporting import Figures
from everfresh.trainer.tracks.frozen import FrozenTrack
from everfresh.trainer.tracks.line import Line, OpenSource, StartLoop

_LOG = logging.getLogger("everfresh.trainer")


class TrackSchedule:
    """Used by one thread; ``lines`` and ``frozen`` are replaced as a whole, so that others may read
    them. With ``only`` it trains that track alone; then frozen ones are scored beside the default
    track."""

    def __init__(
        self,
        tracks: TrackStore,
        start: StartLoop,
        open_source: OpenSource,
        reports: ReportSink,
        only: str | None = None,
    ) -> None:
        self._tracks = tracks
        self._start = start
        self._open_source = open_source
        self._reports = reports
        self._look_again_s = 0.0
        self._idle = False
        self._unreadable = ""
        self._only = only
        self._first = only or DEFAULT
        self.lines: dict[str, Line] = {}
        if self._first == DEFAULT:
            self.lines[DEFAULT] = self._line(None)
        self.frozen: dict[str, FrozenTrack] = {}

    def open(self) -> None:
        """Look which tracks there are, and open each; raises as :meth:`round` does."""
        self._look()
        for line in self.lines.values():
            line.open()
        self._require_one()

    def round(self, wait_ms: int) -> list[tuple[str, WindowReport]]:
        """Give each track its turn; what was trained or held, by track.

        Waits up to ``wait_ms`` for records where nothing was trained in the round before. Raises
        what the default track met, once no track at all can be trained; a schedule without the
        default track tries for ever, since the others do not need it.
        """
        if time.monotonic() >= self._look_again_s:
            self._look()
        done = []
        for name, line in self.lines.items():
            report = line.step(wait_ms if self._idle and name == self._first else 0)
            if report is not None:
                done.append((name, report))
        first = self.lines.get(self._first)
        taken = None if first is None else first.take_consumed()
        if taken is not None:
            for frozen in self.frozen.values():
                frozen.score(taken)
        self._idle = not done
        self._require_one()
        if self._idle and (first is None or first.error is not None):
            time.sleep(wait_ms / 1000)  # which the first track would have waited for records
        return done

    def close(self) -> None:
        """End all connections."""
        for line in self.lines.values():
            line.close()

    def figures(self) -> Figures:
        """Those of the first track: the default one, or the only one."""
        first = self.lines.get(self._first)
        return Figures() if first is None else first.figures()

    def _require_one(self) -> None:
        if DEFAULT not in self.lines:
            return
        error = self.lines[DEFAULT].error
        if error is not None and all(line.error is not None for line in self.lines.values()):
            raise error

    def _look(self) -> None:
        self._look_again_s = time.monotonic() + self._tracks.look_s
        try:
            declared = self._tracks.declared()
        except EverfreshError as error:
            if str(error) != self._unreadable:
                self._unreadable = str(error)
                _LOG.error("the tracks that are known go on: %s", error)
            return
        self._unreadable = ""
        live = {
            name: track
            for name, track in declared.items()
            if track.state == "live" and self._only in (None, name)
        }
        kept = {DEFAULT: self.lines[DEFAULT]} if DEFAULT in self.lines else {}
        for name, line in self.lines.items():
            if line.track is None:
                continue
            if (now := live.get(name)) is not None and now.started == line.track.started:
                kept[name] = line
                if now.audience != line.track.audience:
                    _LOG.info("track %s learns from other users from now on", name)
                    line.declare(now)
            else:
                _LOG.info("track %s is not trained any more", name)
                line.close()
        for name in sorted(live.keys() - kept.keys()):
            kept[name] = self._line(live[name])
        self.lines = kept
        if DEFAULT in kept:
            self._keep_frozen(declared)

    def _keep_frozen(self, declared: Mapping[str, Track]) -> None:
        frozen = {name: track for name, track in declared.items() if track.state == "frozen"}
        before = self.frozen
        self.frozen = {
            name: before[name]
            if name in before and before[name].track.started == track.started
            else FrozenTrack(track, self._tracks.store(name), self._reports)
            for name, track in frozen.items()
        }

    def _line(self, track: Track | None) -> Line:
        return Line(track, self._start, self._open_source, self._reports)
