"""One replica, without a framework: it follows versions, answers, and says how it is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from everfresh.contracts.errors import StateElsewhere
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.ports import (
    Assigner,
    Clock,
    ExposureSink,
    RecentEvents,
    ReportSink,
    StateWatch,
    TrackStore,
    WeightStore,
)
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.sequence import StateReach
from everfresh.contracts.settings import ItemSettings
from everfresh.serving.arm_choice import ArmChoice, Side, answer_for
from everfresh.serving.exposing import exposure_of
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.recommend import (
    Answer,
    RecommendRequest,
    ScoreRequest,
    Shelf,
    SimilarAnswer,
    SimilarRequest,
    nearest_items,
    score_candidates,
)
from everfresh.serving.shared_pass import Steps, alone
from everfresh.serving.tail.keeper import TailKeeper
from everfresh.serving.tracks import ServedTrack, ServedTracks
from everfresh.serving.versions.follow import FollowerState, load_version
from everfresh.serving.versions.holder import LoadedVersion
from everfresh.serving.versions.line import Line
from everfresh.serving.versions.load_lock import LoadGuard
from everfresh.serving.versions.pushed_weights import PushedFiles
from everfresh.serving.versions.takeover import Load

if TYPE_CHECKING:
    from everfresh.serving.spans import ReplicaSpans

_Request = TypeVar("_Request", RecommendRequest, ScoreRequest)
_STATUS_S = 1.0
STALLED_MS = 60_000
"""A follower that has not ended a step for so long hangs; loading a version takes less."""


class ReplicaPorts(msgspec.Struct, frozen=True):
    """The ports a replica works through. ``store`` has the default track; without ``tracks`` there
    is no other. ``spans`` is ``None`` where traces are off."""

    store: WeightStore
    histories: CachedHistoryReader
    exposures: ExposureSink
    reports: ReportSink
    assigner: Assigner
    state: StateWatch
    load_guard: LoadGuard = contextlib.nullcontext
    catalogue: Catalogue = msgspec.field(default_factory=lambda: Catalogue(ItemSettings()))
    catalogue_figures: Callable[[], dict[str, Any]] = dict
    tracks: TrackStore | None = None
    recent: RecentEvents | None = None
    spans: ReplicaSpans | None = None


class _Counted:
    """Counts what is made within it, from any thread; entered by many at once."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self.requests = 0
        self.failed = 0

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        # A client that has left ends what was begun for it: neither made nor failed.
        if error is None or isinstance(error, Exception):
            with self._counting:
                self.requests += 1
                self.failed += not isinstance(error, StateElsewhere | None)


class Replica:
    """``answer``, ``score`` and ``similar`` are called by every request, from any thread.

    The rest belongs to one owner. Without ``ports.recent`` trends are not kept up.

    Between ``start`` and ``stop`` daemon threads run: one for each track steps its follower every
    ``poll_ms``, one looks for tracks, one writes the status every second and after each swap.
    """

    def __init__(
        self, name: str, ports: ReplicaPorts, clock: Clock, poll_ms: int, load: Load = load_version
    ) -> None:
        self.name = name
        self._ports = ports
        self._clock = clock
        self._poll_s = poll_ms / 1000
        self._load = load
        self._shelf = Shelf(ports.catalogue, clock)
        self._news = threading.Event()
        self._tail = TailKeeper(ports.recent, self._live, clock)
        self._default = self._line(DEFAULT, name, ports.store, ports.histories)
        self._current = self._default.current
        self._tracks = ServedTracks(ports.tracks, self._serve_track, self._news.set)
        default = Side(self._current, ports.histories)
        self._arms = ArmChoice(ports.assigner, default, self._tracks)
        self._counted = _Counted()
        self._joined_ms = clock()
        self._stopping = threading.Event()
        self._reporter = threading.Thread(
            target=self._report, name=f"{self.name} _report", daemon=True
        )

    def start(self) -> None:
        """Look once for the versions of all tracks, here, then go on in the background. Raises
        nothing."""
        self._tail.start()
        self._default.start(self._news.set)
        self._tracks.start()
        self._reporter.start()

    def stop(self) -> None:
        """End the threads and report once more. Harmless twice; answers are still possible."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._news.set()
        self._tail.stop()
        self._default.stop()
        self._tracks.stop()
        self._default.join()
        if self._reporter.ident is not None:
            self._reporter.join()
        self._ports.reports.status(self.status())

    def receive(self, files: PushedFiles, track: str = DEFAULT) -> None:
        """Take the pushed files of a track's version and look for it now, in the background."""
        if track == DEFAULT:
            self._default.receive(files)
        else:
            self._tracks.receive(files, track)

    def current(self) -> LoadedVersion | None:
        """The default track's live version; ``None`` before the first."""
        return self._current()

    def follower(self) -> FollowerState:
        """What is known of the default track's pointer."""
        return self._default.follower.state

    def may_join(self) -> bool:
        """Law 8: whether the default track's current version is live here, or there is none yet.

        The other tracks were looked for at the start; one that cannot be loaded keeps nobody out.
        """
        return self._default.follower.caught_up()

    def complaint(self) -> str | None:
        """Why this replica should be replaced; ``None`` where it is well.

        A version that cannot be loaded is no reason: a replacement could not load it either.
        """
        threads = [self._default.thread, self._reporter]
        dead = [each.name for each in threads if each and each.ident and not each.is_alive()]
        if dead and not self._stopping.is_set():
            return f"{self.name}: the thread {dead[0]!r} has ended"
        stepped = self._default.follower.state.stepped_ms
        waited = 0 if stepped is None else self._clock() - stepped
        if waited > STALLED_MS:
            return f"{self.name}: no look at the weight store has ended for {waited} ms"
        return None

    def answer(self, request: RecommendRequest) -> Answer | None:
        """What :meth:`answering` makes, at once."""
        return alone(self.answering(request))

    def answering(self, request: RecommendRequest) -> Steps[Answer | None]:
        """Answer and leave an exposure; ``None`` before the first version.

        Law 7: arm and version are captured here, once. An arm whose track is not here, or has no
        version yet, is answered for by the default track, and answer and exposure say so. Raises
        ``StateError`` from the user's state.
        """
        chosen = self._arms.choose(request)
        if chosen.loaded is None:
            return None
        stale_ms = self._ports.state.stale_ms(request.user_id)
        with self._counted:
            answer = yield from answer_for(chosen, chosen.loaded, request, self._shelf)
        self._ports.exposures.send(exposure_of(answer, self._clock()))
        self._trace(answer)
        return _aged(answer, stale_ms)

    def score(self, request: ScoreRequest) -> Answer | None:
        """Score given items, as :meth:`answer`; no exposure: the caller decides what to show."""
        chosen = self._arms.choose(request)
        if chosen.loaded is None:
            return None
        stale_ms = self._ports.state.stale_ms(request.user_id)
        with self._counted:
            answer = score_candidates(
                chosen.loaded, chosen.histories, request, chosen.arm, self._shelf
            )
        self._trace(answer)
        return _aged(answer, stale_ms)

    async def assigned(self, request: _Request) -> _Request:
        """The request, with its arm where another system has to be asked for it."""
        arm = self._ports.assigner.asking(request.user_id, request.arm)
        return request if arm is None else msgspec.structs.replace(request, assigned=await arm)

    def _trace(self, answer: Answer | SimilarAnswer) -> None:
        if self._ports.spans is not None:
            self._ports.spans.answered(answer)

    def reach(self, user: UserId) -> StateReach | None:
        """How far the state of the user's own partition is here; ``None`` before any is."""
        return self._ports.state.reach(user)

    def state_age_ms(self) -> int | None:
        """Since when the oldest state here may lack records of the log; ``None`` if unknown."""
        return self._ports.state.age_ms()

    def definitions(self) -> Assignments:
        """What assigns users by definitions, now."""
        return self._ports.assigner.definitions()

    def similar(self, request: SimilarRequest) -> tuple[LoadedVersion, SimilarAnswer | None] | None:
        """The version and an item's neighbours, ``None`` where it does not know the item."""
        loaded = self._current()
        if loaded is None:
            return None
        with self._counted:
            answer = nearest_items(loaded, request, self._shelf)
        if answer is not None:
            self._trace(answer)
        return loaded, answer

    def status(self) -> ComponentStatus:
        """What this replica reports of itself, as of now."""
        line = self._default
        loaded, follower = line.current(), line.follower.state
        state = "waiting" if loaded is None else "serving"
        cache = msgspec.structs.asdict(self._ports.histories.figures())
        figures = {
            "version": None if loaded is None else loaded.version,
            "epoch": None if loaded is None else loaded.epoch,
            "live_since_ms": None if loaded is None else loaded.live_since_ms,
            "joined_ms": self._joined_ms,
            "lived": list(line.swaps),
            "requests": self._counted.requests,
            "failed": self._counted.failed,
            "exposures_failed": self._ports.exposures.failed(),
            "swaps": follower.swaps,
            "by_deltas": line.follower.by_deltas(),
            "pushed_files": line.pushed.used,
            "load_failures": follower.failures,
            "reason": follower.reason,
            "state_age_ms": self.state_age_ms(),
            "state_missing": self._ports.state.missing(),
            "without_track": self._arms.without_track,
            **self._tail.figures(),
            **self._tracks.figures(),
            **self._ports.assigner.figures(),
            **self._ports.catalogue_figures(),
            **{f"cache_{name}": value for name, value in cache.items()},
        }
        if self._stopping.is_set():
            state = "stopped"
        return ComponentStatus(self.name, "replica", self._clock(), state, figures)

    def _live(self) -> list[LoadedVersion]:
        """The versions that answer now, the default track's first."""
        lines = [self._default, *self._tracks.lines()]
        return [loaded for line in lines if (loaded := line.current()) is not None]

    def _serve_track(self, track: Track) -> ServedTrack:
        assert self._ports.tracks is not None, "it was found there"
        histories = self._ports.histories.beside()
        store = self._ports.tracks.store(track.name)
        line = self._line(track.name, track.name, store, histories)
        return ServedTrack(track, line, histories)

    def _line(
        self, track: str, name: str, store: WeightStore, histories: CachedHistoryReader
    ) -> Line:
        def before_live(loaded: LoadedVersion) -> None:
            self._ports.catalogue.prepare(loaded.recommender)
            histories.prefetch(loaded)
            self._tail.prepare(loaded)

        guard = self._ports.load_guard
        line = Line(name, store, self._clock, self._poll_s, self._load, before_live, guard)
        if self._ports.spans is not None:
            line.on_live = partial(self._ports.spans.live, track)
        return line

    def _report(self) -> None:
        while not self._stopping.is_set():
            self._ports.reports.status(self.status())
            self._news.wait(_STATUS_S)
            self._news.clear()


def _aged(answer: Answer, stale_ms: int | None) -> Answer:
    """The answer, which says so where the state that it was made from was stale."""
    if stale_ms is None:
        return answer
    return msgspec.structs.replace(answer, state_age_ms=stale_ms)
