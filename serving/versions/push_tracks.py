"""Push for all tracks: a pusher for each live one, beside that of the default track."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.ports import TrackStore
from everfresh.serving.versions.push import Pusher
from everfresh.serving.versions.pushed_weights import PushedFiles

_LOG = logging.getLogger(__name__)

BroadcastTo = Callable[[PushedFiles, str], None]
"""Hands files of a track to every replica that is there; see ``push.Broadcast``."""


class TrackPushers:
    """One thread for the default track, one for all others. Frozen tracks have no new versions."""

    def __init__(
        self, tracks: TrackStore, broadcast: BroadcastTo, look_ms: int, least_bytes: int = 0
    ) -> None:
        self._tracks = tracks
        self._make = partial(self._pusher, broadcast, look_ms, least_bytes)
        self._look_s = look_ms / 1000
        self._default = self._make(DEFAULT)
        self._others: dict[tuple[str, int], Pusher] = {}
        self._look_again_s = 0.0
        self._reason = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="push tracks", daemon=True)

    def start(self) -> None:
        """Begin to watch; see :class:`Pusher`."""
        self._default.start()
        self._thread.start()

    def stop(self) -> None:
        """End the threads; a push under way is finished."""
        self._stopping.set()
        self._default.stop()
        self._thread.join()

    def step(self) -> int:
        """Look once at all tracks but the default one; how many versions were pushed."""
        if time.monotonic() >= self._look_again_s:
            self._look_again_s = time.monotonic() + self._tracks.look_s
            self._look()
        return sum(each.step() for each in list(self._others.values()))

    def _look(self) -> None:
        # A store fails as the library behind it does; replicas find new versions themselves.
        try:
            declared = self._tracks.declared()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if reason != self._reason:
                _LOG.warning("versions of tracks are not pushed: %s", reason)
            self._reason = reason
            return
        self._reason = ""
        live = {(name, each.started) for name, each in declared.items() if each.state == "live"}
        self._others = {key: self._others.get(key) or self._make(key[0]) for key in sorted(live)}

    def _pusher(self, broadcast: BroadcastTo, look_ms: int, least_bytes: int, track: str) -> Pusher:
        store = self._tracks.store(track)
        return Pusher(store, lambda files: broadcast(files, track), look_ms, least_bytes)

    def _watch(self) -> None:
        while not self._stopping.wait(self._look_s):
            self.step()
