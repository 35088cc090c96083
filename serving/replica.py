"""One replica, without a framework: it follows versions, answers, and says how it is."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec

from everfresh.contracts.ports import Clock, ExposureSink, ReportSink, WeightStore
from everfresh.contracts.report import ComponentStatus
from everfresh.serving.history.history import PastReader
from everfresh.serving.recommend import (
    Answer,
    Request,
    ScoreRequest,
    SimilarAnswer,
    SimilarRequest,
    exposure,
    recommend,
    score,
    similar,
)
from everfresh.serving.versions.follow import Follower, FollowerState, load_version
from everfresh.serving.versions.holder import Served, VersionHolder
from everfresh.serving.versions.load_lock import Turn
from everfresh.serving.versions.pushed import Contents, OfferedStore
from everfresh.serving.versions.takeover import Load

_LOG = logging.getLogger(__name__)
_STATUS_S = 1.0
_GIVES_WAY = 10
"""Niceness of the thread that makes versions ready."""
_Made = TypeVar("_Made")
LIVED = 64
"""Of so many versions a replica goes on saying since when it had them."""
STALLED_MS = 60_000
"""A follower that has not ended a step for so long hangs; loading a version takes less."""


class Doors(msgspec.Struct, frozen=True):
    """The ports a replica works through."""

    store: WeightStore
    pasts: PastReader
    exposures: ExposureSink
    reports: ReportSink
    turn: Turn = contextlib.nullcontext


class Replica:
    """``answer``, ``score`` and ``similar`` are called by every request, from any thread.

    The rest belongs to one owner.

    Between ``start`` and ``stop`` two daemon threads run: one steps the follower every
    ``poll_ms``, one writes the status every second and after each swap.
    """

    def __init__(
        self, name: str, doors: Doors, clock: Clock, poll_ms: int, load: Load = load_version
    ) -> None:
        self.name = name
        self._doors = doors
        self._clock = clock
        self._poll_s = poll_ms / 1000
        self._holder = VersionHolder()
        self._offered = OfferedStore(doors.store)
        self._follower = Follower(
            self._offered, self._holder, clock, load, doors.pasts.prepare, doors.turn
        )
        self._counting = threading.Lock()
        self._requests = 0
        self._failed = 0
        self._joined_ms = clock()
        self._lived: tuple[tuple[int, int, int], ...] = ()
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Look for a version once, here, then go on in the background. Raises nothing."""
        self._step()
        for work in (self._follow, self._tell):
            thread = threading.Thread(target=work, name=f"{self.name} {work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads and say a last word. Harmless twice; answers are still possible."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake.set()
        self._news.set()
        for thread in self._threads:
            thread.join()
        self._doors.reports.status(self.status())

    def offer(self, contents: Contents) -> None:
        """Take pushed contents of a version and look for it now, in the background."""
        self._offered.offer(contents)
        self._wake.set()

    def current(self) -> Served | None:
        """The live version; ``None`` before the first."""
        return self._holder.current()

    def follower(self) -> FollowerState:
        """What is known of the pointer."""
        return self._follower.state

    def may_join(self) -> bool:
        """Law 8: whether the current version is live here, or there is none yet."""
        return self._follower.caught_up()

    def complaint(self) -> str | None:
        """Why this replica should be replaced; ``None`` where it is well.

        A version that cannot be loaded is no reason: a replacement could not load it either.
        """
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        if dead and not self._stopping.is_set():
            return f"{self.name}: the thread {dead[0]!r} has ended"
        stepped = self._follower.state.stepped_ms
        waited = 0 if stepped is None else self._clock() - stepped
        if waited > STALLED_MS:
            return f"{self.name}: no look at the weight store has ended for {waited} ms"
        return None

    def answer(self, request: Request) -> Answer | None:
        """Answer and leave an exposure; ``None`` before the first version.

        Law 7: the version is captured here, once. Raises ``StateError`` from the user's state.
        """
        answer = self._make(lambda served: recommend(served, self._doors.pasts, request))
        if answer is not None:
            self._doors.exposures.send(exposure(answer, self._clock()))
        return answer

    def score(self, request: ScoreRequest) -> Answer | None:
        """Score given items, as :meth:`answer`; no exposure: the caller decides what to show."""
        return self._make(lambda served: score(served, self._doors.pasts, request))

    def similar(self, request: SimilarRequest) -> tuple[Served, SimilarAnswer | None] | None:
        """The version and an item's neighbours, ``None`` where it does not know the item."""
        return self._make(lambda served: (served, similar(served, request)))

    def _make(self, make: Callable[[Served], _Made]) -> _Made | None:
        served = self._holder.current()
        if served is None:
            return None
        try:
            made = make(served)
        except Exception:
            self._count(failed=1)
            raise
        self._count()
        return made

    def status(self) -> ComponentStatus:
        """This replica's word on itself, as of now."""
        served, follower = self._holder.current(), self._follower.state
        state = "waiting" if served is None else "serving"
        pasts = msgspec.structs.asdict(self._doors.pasts.figures())
        figures = {
            "version": None if served is None else served.version,
            "epoch": None if served is None else served.epoch,
            "live_since_ms": None if served is None else served.live_since_ms,
            "joined_ms": self._joined_ms,
            "lived": list(self._lived),
            "requests": self._requests,
            "failed": self._failed,
            "exposures_failed": self._doors.exposures.failed(),
            "swaps": follower.swaps,
            "by_deltas": self._follower.by_deltas(),
            "pushed_files": self._offered.used,
            "load_failures": follower.failures,
            "reason": follower.reason,
            **{f"cache_{name}": value for name, value in pasts.items()},
        }
        said = "stopped" if self._stopping.is_set() else state
        return ComponentStatus(self.name, "replica", self._clock(), said, figures)

    def _count(self, failed: int = 0) -> None:
        with self._counting:
            self._requests += 1
            self._failed += failed

    def _follow(self) -> None:
        # What makes a version ready gives way to what answers. Linux has these per thread: a
        # niceness, and a policy by which nothing that runs is interrupted when a rest is over.
        thread = threading.get_native_id()
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, thread, _GIVES_WAY)
        while not self._stopping.is_set():
            self._wake.wait(self._poll_s)
            self._wake.clear()
            if not self._stopping.is_set() and self._step():
                self._offered.drop()
                _LOG.info("another version is live: %s", self._follower.state.pointer)
                self._news.set()

    def _step(self) -> bool:
        swapped, served = self._follower.step(), self._holder.current()
        if swapped and served is not None:
            # Replaced as a whole: the thread that tells of it reads it meanwhile.
            newest = (served.version, served.epoch, served.live_since_ms)
            self._lived = (*self._lived, newest)[-LIVED:]
        return swapped

    def _tell(self) -> None:
        while not self._stopping.is_set():
            self._doors.reports.status(self.status())
            self._news.wait(_STATUS_S)
            self._news.clear()
