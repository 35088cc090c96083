"""The tracks beside the default one at a replica: a line of versions and a user cache for each.

A request of the default track never comes here. Nothing here grows with users but the caches, each
of which is bounded as the default track's is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from everfresh.adapters.machine.give_way import give_way
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.ports import TrackStore
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.versions.line import Line
from everfresh.serving.versions.pushed_weights import PushedFiles

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedTrack:
    """A track that is served. ``line.current()`` is ``None`` as long as it has no version."""

    track: Track
    line: Line
    histories: CachedHistoryReader

    def figures(self) -> dict[str, Any]:
        """What there is to report: its version, and the memory that it takes."""
        loaded, follower = self.line.current(), self.line.follower.state
        cache = self.histories.figures()
        manifest = None if loaded is None else loaded.manifest
        names = () if manifest is None else manifest.replica_files
        files = [] if manifest is None else manifest.files
        return {
            "version": None if loaded is None else loaded.version,
            "epoch": None if loaded is None else loaded.epoch,
            "live_since_ms": None if loaded is None else loaded.live_since_ms,
            "version_bytes": sum(file.bytes for file in files if file.name in names),
            "cache_users": cache.users,
            "cache_bytes": cache.bytes,
            "load_failures": follower.failures,
            "reason": follower.reason,
        }


Make = Callable[[Track], ServedTrack]


class ServedTracks:
    """``get`` is called by requests, from any thread, and never waits; the rest has one owner.

    A daemon thread looks again and again which tracks are declared. While that cannot be read,
    those that are known go on to be served.
    """

    def __init__(self, tracks: TrackStore | None, make: Make, news: Callable[[], None]) -> None:
        self._tracks = tracks
        self._make = make
        self._news = news
        self._served: Mapping[str, ServedTrack] = {}
        self._reason = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="tracks", daemon=True)

    def get(self, name: str) -> ServedTrack | None:
        """The track of that name; ``None`` where it is not known here."""
        return self._served.get(name)

    def lines(self) -> list[Line]:
        """Of all that are served."""
        return [each.line for each in self._served.values()]

    def start(self) -> None:
        """Look for tracks and their versions once, here, then go on in the background."""
        if self._tracks is not None:
            self._look()
            self._thread.start()

    def stop(self) -> None:
        """End all threads. Harmless twice; answers are still possible."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        for each in self._served.values():
            each.line.stop()
        for each in self._served.values():
            each.line.join()

    def receive(self, files: PushedFiles, name: str) -> None:
        """See ``Line``; nobody's where no such track is served here."""
        track = self._served.get(name)
        if track is not None:
            track.line.receive(files)

    def figures(self) -> dict[str, Any]:
        """What there is to report of each, and why the tracks cannot be read."""
        served = self._served
        return {
            "tracks": {name: each.figures() for name, each in served.items()},
            "tracks_reason": self._reason,
        }

    def _watch(self) -> None:
        give_way()  # a track that is new is loaded in this thread
        assert self._tracks is not None, "without tracks nobody looks"
        while not self._stopping.wait(self._tracks.look_s):
            self._look()

    def _look(self) -> None:
        assert self._tracks is not None, "without tracks nobody looks"
        # A store fails as the library behind it does, and must not end the thread.
        try:
            declared = {name: each for name, each in self._tracks.declared().items() if each.served}
            self._follow(declared)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if reason != self._reason:
                _LOG.warning("the tracks that are known stay: %s", reason)
            self._reason = reason
        else:
            self._reason = ""

    def _follow(self, declared: Mapping[str, Track]) -> None:
        before = self._served
        kept = {
            name: each
            for name, each in before.items()
            if name in declared and declared[name].started == each.track.started
        }
        if len(kept) < len(before):
            self._served = kept  # a request that has captured one ends with it
        for name, each in before.items():
            if name not in kept:
                each.line.stop()
                _LOG.info("track %s is not served any more", name)
        for name in sorted(declared.keys() - kept.keys()):
            made = self._make(declared[name])
            made.line.start(self._news)
            self._served = {**self._served, name: made}
            _LOG.info("track %s is served, from version %s on", name, made.figures()["version"])
