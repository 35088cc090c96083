"""One replica, without a framework: it follows versions, answers, and says how it is."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from everfresh.adapters.machine.give_way import give_way
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.ports import Assigner, Clock, ExposureSink, ReportSink, WeightStore
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import ItemSettings
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.recommend import (
    Answer,
    RecommendRequest,
    ScoreRequest,
    Shelf,
    SimilarAnswer,
    SimilarRequest,
    exposure_of,
    nearest_items,
    recommend_items,
    score_candidates,
)
from everfresh.serving.versions.follow import Follower, FollowerState, load_version
from everfresh.serving.versions.holder import LoadedVersion, VersionHolder
from everfresh.serving.versions.load_lock import LoadGuard
from everfresh.serving.versions.pushed_weights import PushedFiles, PushedStore
from everfresh.serving.versions.takeover import Load

_LOG = logging.getLogger(__name__)
_STATUS_S = 1.0
_Result = TypeVar("_Result")
REMEMBERED_SWAPS = 64
"""A replica reports since when it had each of its last versions, so many of them."""
STALLED_MS = 60_000
"""A follower that has not ended a step for so long hangs; loading a version takes less."""


class ReplicaPorts(msgspec.Struct, frozen=True):
    """The ports a replica works through."""

    store: WeightStore
    histories: CachedHistoryReader
    exposures: ExposureSink
    reports: ReportSink
    assigner: Assigner
    load_guard: LoadGuard = contextlib.nullcontext
    catalogue: Catalogue = msgspec.field(default_factory=lambda: Catalogue(ItemSettings()))
    catalogue_figures: Callable[[], dict[str, Any]] = dict


class Replica:
    """``answer``, ``score`` and ``similar`` are called by every request, from any thread.

    The rest belongs to one owner.

    Between ``start`` and ``stop`` two daemon threads run: one steps the follower every
    ``poll_ms``, one writes the status every second and after each swap.
    """

    def __init__(
        self, name: str, ports: ReplicaPorts, clock: Clock, poll_ms: int, load: Load = load_version
    ) -> None:
        self.name = name
        self._ports = ports
        self._clock = clock
        self._poll_s = poll_ms / 1000
        self._holder = VersionHolder()
        self._pushed = PushedStore(ports.store)
        self._shelf = Shelf(ports.catalogue, clock)
        self._follower = Follower(
            self._pushed, self._holder, clock, load, self._before_live, ports.load_guard
        )
        self._counting = threading.Lock()
        self._requests = 0
        self._failed = 0
        self._joined_ms = clock()
        self._swaps: tuple[tuple[int, int, int], ...] = ()
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Look for a version once, here, then go on in the background. Raises nothing."""
        self._step()
        for work in (self._follow, self._report):
            thread = threading.Thread(target=work, name=f"{self.name} {work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads and report once more. Harmless twice; answers are still possible."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake.set()
        self._news.set()
        for thread in self._threads:
            thread.join()
        self._ports.reports.status(self.status())

    def receive(self, files: PushedFiles) -> None:
        """Take the pushed files of a version and look for it now, in the background."""
        self._pushed.receive(files)
        self._wake.set()

    def current(self) -> LoadedVersion | None:
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

    def answer(self, request: RecommendRequest) -> Answer | None:
        """Answer and leave an exposure; ``None`` before the first version.

        Law 7: arm and version are captured here, once. Raises ``StateError`` from the user's state.
        """
        histories, shelf = self._ports.histories, self._shelf
        arm = self._ports.assigner.assign(request.user_id, request.arm)
        answer = self._make(lambda loaded: recommend_items(loaded, histories, request, arm, shelf))
        if answer is not None:
            self._ports.exposures.send(exposure_of(answer, self._clock()))
        return answer

    def score(self, request: ScoreRequest) -> Answer | None:
        """Score given items, as :meth:`answer`; no exposure: the caller decides what to show."""
        histories, shelf = self._ports.histories, self._shelf
        arm = self._ports.assigner.assign(request.user_id, request.arm)
        return self._make(lambda loaded: score_candidates(loaded, histories, request, arm, shelf))

    def definitions(self) -> Assignments:
        """What assigns users by definitions, now."""
        return self._ports.assigner.definitions()

    def similar(self, request: SimilarRequest) -> tuple[LoadedVersion, SimilarAnswer | None] | None:
        """The version and an item's neighbours, ``None`` where it does not know the item."""
        return self._make(lambda loaded: (loaded, nearest_items(loaded, request, self._shelf)))

    def _make(self, make: Callable[[LoadedVersion], _Result]) -> _Result | None:
        loaded = self._holder.current()
        if loaded is None:
            return None
        try:
            result = make(loaded)
        except Exception:
            self._count(failed=1)
            raise
        self._count()
        return result

    def status(self) -> ComponentStatus:
        """What this replica reports of itself, as of now."""
        loaded, follower = self._holder.current(), self._follower.state
        state = "waiting" if loaded is None else "serving"
        cache = msgspec.structs.asdict(self._ports.histories.figures())
        figures = {
            "version": None if loaded is None else loaded.version,
            "epoch": None if loaded is None else loaded.epoch,
            "live_since_ms": None if loaded is None else loaded.live_since_ms,
            "joined_ms": self._joined_ms,
            "lived": list(self._swaps),
            "requests": self._requests,
            "failed": self._failed,
            "exposures_failed": self._ports.exposures.failed(),
            "swaps": follower.swaps,
            "by_deltas": self._follower.by_deltas(),
            "pushed_files": self._pushed.used,
            "load_failures": follower.failures,
            "reason": follower.reason,
            **self._ports.assigner.figures(),
            **self._ports.catalogue_figures(),
            **{f"cache_{name}": value for name, value in cache.items()},
        }
        if self._stopping.is_set():
            state = "stopped"
        return ComponentStatus(self.name, "replica", self._clock(), state, figures)

    def _before_live(self, loaded: LoadedVersion) -> None:
        self._ports.catalogue.prepare(loaded.recommender)
        self._ports.histories.prefetch(loaded)

    def _count(self, failed: int = 0) -> None:
        with self._counting:
            self._requests += 1
            self._failed += failed

    def _follow(self) -> None:
        give_way()
        while not self._stopping.is_set():
            self._wake.wait(self._poll_s)
            self._wake.clear()
            if not self._stopping.is_set() and self._step():
                self._pushed.drop()
                _LOG.info("another version is live: %s", self._follower.state.pointer)
                self._news.set()

    def _step(self) -> bool:
        swapped, loaded = self._follower.step(), self._holder.current()
        if swapped and loaded is not None:
            # Replaced as a whole: the thread that reports it reads it meanwhile.
            newest = (loaded.version, loaded.epoch, loaded.live_since_ms)
            self._swaps = (*self._swaps, newest)[-REMEMBERED_SWAPS:]
        return swapped

    def _report(self) -> None:
        while not self._stopping.is_set():
            self._ports.reports.status(self.status())
            self._news.wait(_STATUS_S)
            self._news.clear()
