"""Weights that were pushed to this replica: the contents of files only, never a decision.

The pointer says what is live (law 8), and the manifest says what a file must be. So a push can save
a fetch and nothing else: what fits no file is ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from everfresh.adapters.weights.row_digests import FileDigests
from everfresh.contracts.manifest import Pointer, WeightFile, WeightManifest
from everfresh.contracts.ports import WeightStore
from everfresh.contracts.safetensors import VersionFile

PushedFiles = Mapping[str, bytes | memoryview]
"""Digest of a file to its bytes, which other processes may share: never written to."""


class PushedStore:
    """A ``WeightStore`` that takes contents from the newest push and the rest from ``store``.

    ``receive`` may be called by any thread; a push is held until the next one, or ``drop``.
    """

    def __init__(self, store: WeightStore) -> None:
        self._store = store
        self._pushed: PushedFiles = {}
        self.used = 0

    def receive(self, files: PushedFiles) -> None:
        """Hold these until the next push. They are verified as they are read."""
        self._pushed = files

    @property
    def held(self) -> PushedFiles:
        """The newest push; empty where none is held."""
        return self._pushed

    def drop(self, pushed: PushedFiles) -> None:
        """Let go of this push's memory, unless another has come meanwhile."""
        if self._pushed is pushed:
            self._pushed = {}

    def read(self, manifest: WeightManifest, name: str) -> bytes:
        """See the port."""
        return bytes(self.view(manifest, name))

    def view(self, manifest: WeightManifest, name: str) -> bytes | memoryview:
        """See the port."""
        listed = next((file for file in manifest.files if file.name == name), None)
        pushed = self._verified(listed)
        return self._store.view(manifest, name) if pushed is None else pushed

    def delta(self, manifest: WeightManifest, name: str) -> bytes | None:
        """See the port."""
        pushed = self._verified(manifest.delta(name))
        return self._store.delta(manifest, name) if pushed is None else bytes(pushed)

    def _verified(self, file: WeightFile | None) -> bytes | memoryview | None:
        pushed = None if file is None else self._pushed.get(file.digest)
        if file is None or pushed is None or not _is_content_of(file, pushed):
            return None
        self.used += 1
        return pushed

    def write(self, manifest: WeightManifest, files: Mapping[str, VersionFile]) -> WeightManifest:
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


def _is_content_of(file: WeightFile, data: bytes | memoryview) -> bool:
    if len(data) != file.bytes or not file.root:
        return len(data) == file.bytes and hashlib.sha256(data).hexdigest() == file.sha256
    try:
        return FileDigests.of(data).root == file.root
    except (ValueError, KeyError):
        return False
