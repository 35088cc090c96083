"""The processes of tracks that are trained beside the default one (``trainer.beside``): one for
each live track, started and ended as tracks are. Knows no Ray, so that it is tested without it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.ports import TrackStore
from everfresh.trainer.run import RunStatus

_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 120.0
_LONG_S = 60.0
_LOG = logging.getLogger("everfresh.trainer")


class Hold(Protocol):
    """See ``actor_hold.ActorHold``."""

    def ask(self, wait_s: float) -> RunStatus | None:
        """How the process stands; ``None`` where that is not known."""


_H = TypeVar("_H", bound=Hold)


class _Process(Generic[_H]):
    def __init__(self) -> None:
        self.hold: _H | None = None
        self.pause_s = _FIRST_PAUSE_S
        self.not_before_s = 0.0
        self.silent_since_s = 0.0
        self.said = ""
        self.cause = ""


class TrackActors(Generic[_H]):
    """``start`` makes the process of a track, and may raise; ``end`` ends some. ``look`` is called
    about once a second, by the driver's one thread; it raises nothing that a track has met, since
    no track needs another one."""

    def __init__(
        self,
        tracks: TrackStore,
        start: Callable[[str], _H],
        end: Callable[[Sequence[_H]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracks = tracks
        self._start = start
        self._end = end
        self._clock = clock
        self._processes: dict[str, _Process[_H]] = {}
        self._unreadable = ""
        self._look_again_s = -math.inf

    def holds(self) -> list[_H]:
        """Of the processes that there are."""
        return [each.hold for each in self._processes.values() if each.hold is not None]

    def causes(self) -> dict[str, str]:
        """Why a track is not trained, by its name, and what to do; of those that are not."""
        return {name: each.cause for name, each in self._processes.items() if each.cause}

    def look(self) -> None:
        """Start what is missing, end what is not wanted, and begin anew what has failed."""
        if self._clock() >= self._look_again_s:
            self._look_again_s = self._clock() + self._tracks.look_s
            self._look_at_declared()
        for name, process in self._processes.items():
            self._see_to(name, process)

    def _look_at_declared(self) -> None:
        try:
            declared = self._tracks.declared()
        except EverfreshError as error:
            if str(error) != self._unreadable:
                self._unreadable = str(error)
                _LOG.error("the tracks that are known go on: %s", error)
        else:
            self._unreadable = ""
            live = {name for name, track in declared.items() if track.state == "live"}
            gone = self._processes.keys() - live
            self._end([hold for name in gone if (hold := self._processes[name].hold) is not None])
            for name in gone:
                del self._processes[name]
            for name in sorted(live - self._processes.keys()):
                self._processes[name] = _Process()

    def _see_to(self, name: str, process: _Process[_H]) -> None:
        now_s = self._clock()
        if process.hold is None:
            if now_s >= process.not_before_s:
                self._begin(name, process, now_s)
            return
        status = process.hold.ask(0.0)
        if status is None:
            if now_s - process.silent_since_s > _LONG_S:
                self._say(
                    process,
                    f"the process of track {name} does not answer",
                    "Ray may have no room for it: `ray status` shows that; give Ray more CPUs, "
                    f"lower trainer.cpus, or end the track (`everfresh tracks end {name}`)",
                )
            return
        process.silent_since_s = now_s
        if status.error is not None:
            self._say(process, f"track {name} stands still, and is tried again", status.error)
            self._end([process.hold])
            self._pause(process, now_s)
        elif status.state == "running":
            process.pause_s, process.said, process.cause = _FIRST_PAUSE_S, "", ""

    def _begin(self, name: str, process: _Process[_H], now_s: float) -> None:
        try:
            process.hold = self._start(name)
        except Exception as error:
            self._say(process, f"track {name} has no process, and is tried again", str(error))
            self._pause(process, now_s)
        else:
            process.silent_since_s = now_s
            _LOG.info("track %s is trained in a process of its own", name)

    def _pause(self, process: _Process[_H], now_s: float) -> None:
        process.hold = None
        process.not_before_s = now_s + process.pause_s
        process.pause_s = min(2 * process.pause_s, _LONGEST_PAUSE_S)

    def _say(self, process: _Process[_H], what: str, cause: str) -> None:
        """In the log once for each cause, not at each look; in the status while it lasts."""
        process.cause = cause
        line = f"{what}: {cause}"
        if line != process.said:
            process.said = line
            _LOG.error("%s", line)
