"""One track at one replica: its version, what follows its pointer, and its users' histories.

The default track has a line of its own, and so has every other that is served. Each swaps by
itself: no line waits for another, except for the lock under which a machine's replicas load.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from everfresh.adapters.machine.give_way import give_way
from everfresh.contracts.ports import Clock, WeightStore
from everfresh.serving.versions.follow import BeforeLive, Follower
from everfresh.serving.versions.holder import LoadedVersion, VersionHolder
from everfresh.serving.versions.load_lock import LoadGuard
from everfresh.serving.versions.pushed_weights import PushedFiles, PushedStore
from everfresh.serving.versions.takeover import Load

_LOG = logging.getLogger(__name__)
REMEMBERED_SWAPS = 64
"""A replica reports since when it had each of its last versions, so many of them."""


class Line:
    """``current`` is called by requests, from any thread; the rest belongs to one owner.

    Between ``start`` and ``stop`` a daemon thread steps the follower every ``poll_s``, and calls
    ``news`` after each swap. ``on_live`` may be set before: it is called with each version that has
    gone live, and when the look that found it began (UTC ms).
    """

    def __init__(
        self,
        name: str,
        store: WeightStore,
        clock: Clock,
        poll_s: float,
        load: Load,
        before_live: BeforeLive,
        load_guard: LoadGuard,
    ) -> None:
        self.name = name
        self.holder = VersionHolder()
        self.current: Callable[[], LoadedVersion | None] = self.holder.current
        self.pushed = PushedStore(store)
        self.follower = Follower(self.pushed, self.holder, clock, load, before_live, load_guard)
        self.swaps: tuple[tuple[int, int, int], ...] = ()
        self.on_live: Callable[[LoadedVersion, int], None] = lambda loaded, began_ms: None
        self._clock = clock
        self._poll_s = poll_s
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self, news: Callable[[], None]) -> None:
        """Look for a version once, here, then go on in the background. Raises nothing."""
        self._step()
        self.thread = threading.Thread(
            target=self._follow, args=(news,), name=f"{self.name} _follow", daemon=True
        )
        self.thread.start()

    def stop(self) -> None:
        """Ask the thread to end, without waiting for it. Harmless twice."""
        self._stopping.set()
        self._wake.set()

    def join(self) -> None:
        """Wait for the thread to end, once it was asked."""
        if self.thread is not None:
            self.thread.join()

    def receive(self, files: PushedFiles) -> None:
        """Take the pushed files of a version and look for it now, in the background."""
        self.pushed.receive(files)
        self._wake.set()

    def _follow(self, news: Callable[[], None]) -> None:
        give_way()
        while not self._stopping.is_set():
            self._wake.wait(self._poll_s)
            self._wake.clear()
            held = self.pushed.held
            if self._stopping.is_set():
                return
            swapped = self._step()
            if swapped or self.follower.caught_up():
                # Also what came after its version was live, or was rolled back meanwhile.
                self.pushed.drop(held)
            if swapped:
                pointer = self.follower.state.pointer
                _LOG.info("another version is live, of %s: %s", self.name, pointer)
                news()

    def _step(self) -> bool:
        began_ms = self._clock()
        swapped, loaded = self.follower.step(), self.holder.current()
        if swapped and loaded is not None:
            # Replaced as a whole: the thread that reports it reads it meanwhile.
            newest = (loaded.version, loaded.epoch, loaded.live_since_ms)
            self.swaps = (*self.swaps, newest)[-REMEMBERED_SWAPS:]
            self.on_live(loaded, began_ms)
        return swapped
