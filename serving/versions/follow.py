"""Following the weight store: pointer, fetch, verify, load, warm, swap. In this order, always."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence

import msgspec

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import Pointer, WeightManifest
from everfresh.contracts.ports import Clock, WeightStore
from everfresh.contracts.sequence import Interaction
from everfresh.model.recommender import Recommender
from everfresh.model.weights import all_finite
from everfresh.serving.tail.kept_up import KeptUp
from everfresh.serving.versions.holder import LoadedVersion, VersionHolder
from everfresh.serving.versions.load_lock import LoadGuard
from everfresh.serving.versions.takeover import Load, Takeover

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_MS = 100
_LONGEST_PAUSE_MS = 5_000
_WARM_K = 10


BeforeLive = Callable[[LoadedVersion], None]
"""Called with a version that is about to go live, for what else is to be ready by then."""


class FollowerState(msgspec.Struct, frozen=True):
    """What is known of the pointer. Times in UTC ms; ``None`` before the first.

    ``pointer`` is the newest one read and ``read_ms`` when. ``stepped_ms`` is the end of the last
    step, failed or not. ``swaps`` counts versions that went live, ``failures`` steps that failed;
    ``reason`` is why the last step failed, ``None`` where it did not.
    """

    pointer: Pointer | None = None
    read_ms: int | None = None
    stepped_ms: int | None = None
    swaps: int = 0
    failures: int = 0
    reason: str | None = None


class Follower:
    """Brings a holder to the version that the pointer names. One thread calls ``step``.

    A version that cannot be fetched, verified, loaded or warmed changes nothing: the old one goes
    on answering, the reason is logged once and the version is tried again, less and less often.
    A pointer that moves on is followed at once.
    """

    def __init__(
        self,
        store: WeightStore,
        holder: VersionHolder,
        clock: Clock,
        load: Load,
        before_live: BeforeLive = lambda _: None,
        load_guard: LoadGuard = contextlib.nullcontext,
    ) -> None:
        self._store = store
        self._holder = holder
        self._clock = clock
        self._before_live = before_live
        self._load_guard = load_guard
        self._takeover = Takeover(load)
        self._failed: Pointer | None = None
        self._pause_ms = _FIRST_PAUSE_MS
        self._not_before_ms = 0
        self.state = FollowerState()

    def step(self) -> bool:
        """Look once; True where another version went live. Raises nothing."""
        swapped = False
        reason: str | None = None
        # A store fails in the ways of the library behind its URL, which only that library knows,
        # and a version in the ways of torch. All of them mean: keep the old one, say why, retry.
        try:
            swapped = self._follow()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if reason != self.state.reason:
                _LOG.warning("the live version stays: %s", reason)
        old = self.state
        self.state = msgspec.structs.replace(
            old,
            stepped_ms=self._clock(),
            swaps=old.swaps + swapped,
            failures=old.failures + (reason is not None),
            reason=reason or (old.reason if self._failed else None),
        )
        return swapped

    def caught_up(self) -> bool:
        """Whether the newest pointer read is live, or there was none to follow yet."""
        pointer = self.state.pointer
        return self.state.read_ms is not None and (
            pointer is None or not self._holder.wants(pointer)
        )

    def by_deltas(self) -> int:
        """How many versions were made of an earlier one by their deltas."""
        return self._takeover.by_deltas

    def _follow(self) -> bool:
        pointer = self._store.pointer()
        self.state = msgspec.structs.replace(self.state, pointer=pointer, read_ms=self._clock())
        if pointer is None or not self._holder.wants(pointer):
            self._failed = None
            return False
        # No longer than the pause, should the clock have been set back meanwhile.
        left_ms = self._not_before_ms - self._clock()
        if pointer == self._failed and 0 < left_ms <= self._pause_ms:
            return False
        try:
            with self._load_guard():
                loaded = self._made_ready(pointer)
        except Exception:
            self._wait_longer(pointer)
            raise
        self._failed = None
        before = self._holder.current()
        if self._overtaken(pointer) or not self._holder.swap(loaded):
            return False
        if before is not None:
            self._takeover.retire(before)
        return True

    def _made_ready(self, pointer: Pointer) -> LoadedVersion:
        manifest = self._store.manifest(pointer.version)
        before = self._takeover.by_deltas
        recommender = self._takeover(manifest, self._store)
        # What was made of an earlier version has answered before.
        warm(recommender, () if self._takeover.by_deltas > before else (1, -1))
        loaded = LoadedVersion(
            pointer.version,
            pointer.epoch,
            recommender,
            manifest,
            self._clock(),
            KeptUp(recommender, manifest),
        )
        self._before_live(loaded)
        return msgspec.structs.replace(loaded, live_since_ms=self._clock())

    def _overtaken(self, pointer: Pointer) -> bool:
        """Whether a rollback came while its version was loaded, which then must not go live."""
        newest = self._store.pointer()
        return newest is not None and newest.epoch > pointer.epoch

    def _wait_longer(self, pointer: Pointer) -> None:
        again = pointer == self._failed
        self._pause_ms = min(2 * self._pause_ms, _LONGEST_PAUSE_MS) if again else _FIRST_PAUSE_MS
        self._failed = pointer
        self._not_before_ms = self._clock() + self._pause_ms


def load_version(manifest: WeightManifest, store: WeightStore) -> Recommender:
    """Fetch the model's files, each verified by the store, and build the recommender.

    ``CorruptVersion`` where a hash, a size or a format does not hold, or a weight is not finite.
    """
    files = {name: store.view(manifest, name) for name in manifest.replica_files}
    recommender = Recommender.load(manifest.model, files, share=True, rows=manifest.rows)
    if not all_finite(recommender.parameters()):
        raise CorruptVersion(
            f"version {manifest.version} holds weights that are not finite numbers; "
            "publish another version or roll back"
        )
    return recommender


def warm(recommender: Recommender, lengths: Sequence[int] = (1, -1)) -> None:
    """Answer for no history, and for these many of the hottest items (all: -1), so that no user
    pays for the first answer."""
    recommender.start()
    if recommender.index.look:
        recommender.index.by_list()
    items, _ = recommender.recommend([], recommender.settings.max_length)
    for length in lengths:
        history = items if length < 0 else items[:length]
        recommender.recommend([Interaction(item, "", 0) for item in history], _WARM_K)
