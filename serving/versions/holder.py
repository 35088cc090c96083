"""What a replica answers with: one loaded version at a time, and the swap to the next."""

from __future__ import annotations

import threading

import msgspec

from everfresh.contracts.manifest import Pointer, WeightManifest
from everfresh.model.recommender import Recommender
from everfresh.serving.tail.kept_up import KeptUp, Trending


class LoadedVersion(msgspec.Struct, frozen=True, weakref=True):
    """Law 7, one answer, one version.

    It holds everything that an answer takes from the weights: the network with its vocabulary, and
    the name they go by. ``trending`` are its trends as they are kept up. A request captures it
    once, uses nothing else and keeps no part of it. Once nobody holds it, its tables may be
    overwritten (``serving.versions.takeover``).
    ``live_since_ms`` is when this replica began to answer with it, in UTC ms.
    """

    version: int
    epoch: int
    recommender: Recommender
    manifest: WeightManifest
    live_since_ms: int
    trending: KeptUp | None = None

    @property
    def kept_up(self) -> Trending | None:
        """Its trends as of now; ``None`` where they are those that it holds."""
        return None if self.trending is None else self.trending.now

    @property
    def pointer(self) -> Pointer:
        """The pointer that named this version."""
        return Pointer(self.epoch, self.version)


class VersionHolder:
    """Law 8, forward, or a named rollback, at one replica.

    ``current`` is called by every request, from any thread, and never waits. ``swap`` is called by
    the follower, with a version that is verified and warm; it is one reference assignment.
    """

    def __init__(self) -> None:
        self._current: LoadedVersion | None = None
        self._swapping = threading.Lock()

    def current(self) -> LoadedVersion | None:
        """The live version; ``None`` until the first one is live."""
        return self._current

    def wants(self, pointer: Pointer) -> bool:
        """Whether ``pointer`` beats what is live: a greater version, or any of a greater epoch."""
        current = self._current
        return current is None or pointer.after(current.pointer)

    def swap(self, loaded: LoadedVersion) -> bool:
        """Make ``loaded`` the live version; False, and nothing changes, where it would go back.

        After True no new request gets the former version. One that captured it keeps it to its end.
        """
        with self._swapping:
            if not self.wants(loaded.pointer):
                return False
            self._current = loaded
            return True
