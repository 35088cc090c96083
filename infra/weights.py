"""``WeightStore`` on a local folder or any fsspec URL."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from contracts.errors import VersionNotFound, WeightsError
from contracts.manifest import Pointer, WeightManifest, encode_manifest
from infra.blobs import open_blobs
from infra.version_folder import (
    MANIFEST,
    POINTER,
    folder_name,
    folder_version,
    named_file,
    parse_manifest,
    parse_pointer,
    require_greater,
    require_intact,
    require_same,
    with_files,
)


class FsspecWeightStore:
    """The layout is in :mod:`infra.version_folder`. Safe for many readers beside one writer.

    On a local folder every step is durable, and a second writer loses with ``StalePublish``; an
    object store has no lock, so there one writer is the operator's promise.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._blobs = open_blobs(url)

    def write(self, manifest: WeightManifest, files: Mapping[str, bytes]) -> WeightManifest:
        """See the port. Order: the leftover goes, the files come, the manifest comes last."""
        filled = with_files(manifest, files)
        folder = folder_name(manifest.version)
        with self._blobs.exclusive():
            kept = self._blobs.get(f"{folder}/{MANIFEST}")
            if kept is not None:
                existing = parse_manifest(manifest.version, kept)
                require_same(existing, filled)
                return existing
            self._blobs.remove_folder(folder)
            for name, data in files.items():
                self._blobs.put(f"{folder}/{name}", data)
            self._blobs.put(f"{folder}/{MANIFEST}", encode_manifest(filled))
        return filled

    def manifest(self, version: int) -> WeightManifest:
        """See the port."""
        raw = self._blobs.get(f"{folder_name(version)}/{MANIFEST}")
        if raw is None:
            raise VersionNotFound(f"version {version} is not in the weight store {self._url}")
        return parse_manifest(version, raw)

    def read(self, manifest: WeightManifest, name: str) -> bytes:
        """See the port; ``VersionNotFound`` where the version was deleted meanwhile."""
        file = named_file(manifest, name)
        data = self._blobs.get(f"{folder_name(manifest.version)}/{name}")
        if data is None:
            self.manifest(manifest.version)
        return require_intact(manifest, file, data)

    def versions(self) -> list[int]:
        """See the port."""
        found = [(folder_version(name), name) for name in self._blobs.folders()]
        return sorted(
            version
            for version, name in found
            if version is not None and self._blobs.get(f"{name}/{MANIFEST}") is not None
        )

    def pointer(self) -> Pointer | None:
        """See the port; ``CorruptVersion`` where the file is damaged."""
        return parse_pointer(self._blobs.get(POINTER))

    def advance(self, pointer: Pointer) -> None:
        """See the port; ``VersionNotFound`` for a version that is not complete."""
        self.manifest(pointer.version)
        with self._blobs.exclusive():
            require_greater(self.pointer(), pointer)
            self._blobs.put(POINTER, msgspec.json.encode(pointer))

    def delete(self, version: int) -> None:
        """See the port. The manifest goes first, so a half-deleted version does not exist."""
        self.manifest(version)
        with self._blobs.exclusive():
            current = self.pointer()
            if current is not None and current.version == version:
                raise WeightsError(
                    f"version {version} is the current one and cannot be deleted; publish or roll "
                    "back to another first"
                )
            self._blobs.remove(f"{folder_name(version)}/{MANIFEST}")
            self._blobs.remove_folder(folder_name(version))
