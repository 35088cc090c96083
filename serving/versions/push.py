"""Push: one fetch of a new version for all replicas, handed to them through Ray's object store.

Where a version is kept as a delta, the delta is pushed: replicas hold what it is made from. A
version of few bytes is not pushed: to fetch it costs each replica less than a call through Ray.
Replicas go on polling. One that no push reached, such as one that has just been replaced, finds the
version itself. Whichever comes first, the pointer decides what goes live.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from everfresh.contracts.manifest import Pointer, WeightManifest
from everfresh.contracts.ports import WeightStore
from everfresh.serving.versions.pushed_weights import PushedFiles

_LOG = logging.getLogger(__name__)

Broadcast = Callable[[PushedFiles], None]
"""Hands files to every replica that is there; returns once they have them. May raise."""


class Pusher:
    """Watches the pointer beside the replicas, in a thread of the driver."""

    def __init__(
        self, store: WeightStore, broadcast: Broadcast, look_ms: int, least_bytes: int = 0
    ) -> None:
        self._store = store
        self._broadcast = broadcast
        self._look_s = look_ms / 1000
        self._least_bytes = least_bytes
        self._pushed: Pointer | None = None
        self._reason: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="push", daemon=True)

    def start(self) -> None:
        """Begin to watch. The version that is current now is left to the replicas' own look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a push under way is finished."""
        self._stopping.set()
        self._thread.join()

    def step(self) -> bool:
        """Look once; True where a version was pushed. Raises nothing: replicas poll as well."""
        # Stores fail as the library behind them does, and so does Ray.
        try:
            pushed = self._push()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if reason != self._reason:
                _LOG.warning("not pushed, the replicas will find it: %s", reason)
            self._reason = reason
            return False
        self._reason = None
        return pushed

    def _push(self) -> bool:
        pointer = self._store.pointer()
        if pointer is None or pointer == self._pushed:
            return False
        first, self._pushed = self._pushed is None, pointer
        if first:
            return False
        manifest = self._store.manifest(pointer.version)
        wanted = [file for file in manifest.files if file.name in manifest.replica_files]
        stored = {file.name: manifest.delta(file.name) or file for file in wanted}
        if sum(file.bytes for file in stored.values()) < self._least_bytes:
            return False
        self._broadcast({file.digest: self._read(manifest, name) for name, file in stored.items()})
        return True

    def _read(self, manifest: WeightManifest, name: str) -> bytes:
        delta = self._store.delta(manifest, name)
        return self._store.read(manifest, name) if delta is None else delta

    def _watch(self) -> None:
        while not self._stopping.wait(self._look_s):
            self.step()
