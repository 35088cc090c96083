"""Weights that were pushed to this replica: contents only, never a decision.

What is live is the pointer's to say (law 8) and what a file must be is the manifest's, so an offer
can save a fetch and nothing else: one that fits no file is ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from everfresh.contracts.manifest import Pointer, WeightFile, WeightManifest
from everfresh.contracts.ports import WeightStore

Contents = Mapping[str, bytes | memoryview]
"""sha256 of a file to its bytes, which other processes may share: never written to."""


class OfferedStore:
    """A ``WeightStore`` that takes contents from the newest offer and the rest from ``store``.

    ``offer`` may be called by any thread; an offer is held until the next one, or ``drop``.
    """

    def __init__(self, store: WeightStore) -> None:
        self._store = store
        self._offered: Contents = {}
        self.used = 0

    def offer(self, contents: Contents) -> None:
        """Hold these until the next offer. They are verified as they are read."""
        self._offered = contents

    def drop(self) -> None:
        """Let go of the offer's memory."""
        self._offered = {}

    def read(self, manifest: WeightManifest, name: str) -> bytes:
        """See the port."""
        return bytes(self.view(manifest, name))

    def view(self, manifest: WeightManifest, name: str) -> bytes | memoryview:
        """See the port."""
        file = next((one for one in manifest.files if one.name == name), None)
        offered = self._taken(file)
        return self._store.view(manifest, name) if offered is None else offered

    def delta(self, manifest: WeightManifest, name: str) -> bytes | None:
        """See the port."""
        offered = self._taken(manifest.delta(name))
        return self._store.delta(manifest, name) if offered is None else bytes(offered)

    def _taken(self, file: WeightFile | None) -> bytes | memoryview | None:
        offered = None if file is None else self._offered.get(file.sha256)
        if file is None or offered is None or not _holds(file, offered):
            return None
        self.used += 1
        return offered

    def write(self, manifest: WeightManifest, files: Mapping[str, bytes]) -> WeightManifest:
        """See the port."""
        return self._store.write(manifest, files)

    def manifest(self, version: int) -> WeightManifest:
        """See the port."""
        return self._store.manifest(version)

    def versions(self) -> list[int]:
        """See the port."""
        return self._store.versions()

    def pointer(self) -> Pointer | None:
        """See the port."""
        return self._store.pointer()

    def advance(self, pointer: Pointer) -> None:
        """See the port."""
        self._store.advance(pointer)

    def delete(self, version: int) -> None:
        """See the port."""
        self._store.delete(version)


def _holds(file: WeightFile, data: bytes | memoryview) -> bool:
    return len(data) == file.bytes and hashlib.sha256(data).hexdigest() == file.sha256
