"""Reads versions of a store: manifests, and contents kept whole or as chains of deltas."""

from __future__ import annotations

from everfresh.adapters.blob_port import Blobs
from everfresh.adapters.weights.deltas import DeltaName, apply_delta
from everfresh.adapters.weights.known_contents import KnownContents
from everfresh.adapters.weights.row_deltas import RowFile
from everfresh.adapters.weights.signing import SIGNATURE, Keys
from everfresh.adapters.weights.version_folder import (
    MANIFEST,
    MOST_TEXT,
    described,
    folder_name,
    named_file,
    parse_manifest,
    require_intact,
    require_nearer,
    require_readable,
    require_rooted,
)
from everfresh.contracts.errors import CorruptVersion, VersionNotFound
from everfresh.contracts.manifest import DELTA, WeightFile, WeightManifest


class VersionReader:
    """Of the store ``where``. Nothing is read that is longer than it may be, and a file that is
    said to have more than ``most`` bytes is refused unread."""

    def __init__(self, where: str, blobs: Blobs, keys: Keys, most: int) -> None:
        self._where = where
        self._blobs = blobs
        self._keys = keys
        self._most = most
        self.known = KnownContents()

    def manifest(self, version: int) -> WeightManifest:
        """See ``WeightStore``."""
        raw = self._blobs.get(f"{folder_name(version)}/{MANIFEST}", MOST_TEXT)
        if raw is None:
            raise VersionNotFound(f"version {version} is not in the weight store {self._where}")
        signature = self._blobs.get(f"{folder_name(version)}/{SIGNATURE}", MOST_TEXT)
        self._keys.require_signed(version, raw, signature)
        return parse_manifest(version, raw)

    def read(self, manifest: WeightManifest, name: str) -> bytes:
        """See ``WeightStore``; ``VersionNotFound`` where the version was deleted meanwhile.

        ``WrongParent`` where a delta is of another version than its manifest names.
        """
        file = named_file(manifest, name)
        if file.root:
            data = self._read_rows(manifest, file)
        else:
            data = self._read_bytes(manifest, file)
            self.known.keep_bytes(file, data)
        return data

    def _read_rows(self, manifest: WeightManifest, file: WeightFile) -> bytes:
        """Its chain of deltas is applied at the cost of their rows, and the end verified once."""
        require_readable(manifest, [file], self._most)
        path, at = list[tuple[WeightManifest, WeightManifest, WeightFile]](), manifest
        while (delta := self._kept_as_delta(at, file.name)) is not None:
            assert at.delta_of is not None, "what is kept as a delta names its parent"
            parent = require_nearer(at, self.manifest(at.delta_of))
            require_readable(parent, [named_file(parent, file.name)], self._most)
            path.append((parent, at, delta))
            at = parent
        base = self._fetch(at, named_file(at, file.name))
        if path:
            made = RowFile(base, described(at, named_file(at, file.name)))
            for parent, child, delta in reversed(path):
                files = named_file(parent, file.name), named_file(child, file.name)
                name = DeltaName(file.name, parent.version, child.version)
                raw = self._fetch(child, delta)
                made.apply(name, raw, (files[0].digest, files[1].digest))
            data = made.to_bytes()
        else:
            data = base
        try:
            self.known.keep(file.name, require_rooted(manifest, file, data))
        except CorruptVersion:
            require_intact(
                at, named_file(at, file.name), base
            )  # it may be this one that is damaged
            raise
        return data

    def _read_bytes(self, manifest: WeightManifest, file: WeightFile) -> bytes:
        delta = self._kept_as_delta(manifest, file.name)
        if delta is None:
            return require_intact(manifest, file, self._fetch(manifest, file))
        assert manifest.delta_of is not None, "what is kept as a delta names its parent"
        require_readable(manifest, [file], self._most)
        parent = require_nearer(manifest, self.manifest(manifest.delta_of))
        before = self.contents(parent, file.name)
        name = DeltaName(file.name, parent.version, manifest.version)
        digest = named_file(parent, file.name).digest
        data = apply_delta(name, before, self._fetch(manifest, delta), digest)
        return require_intact(manifest, file, data)

    def contents(self, manifest: WeightManifest, name: str) -> bytes:
        """A whole file to take a difference from: from memory, if it is there."""
        known = self.known.bytes_of(named_file(manifest, name))
        return self.read(manifest, name) if known is None else known

    def delta(self, manifest: WeightManifest, name: str) -> bytes | None:
        """See ``WeightStore``. Who applies deltas has the contents, so they are dropped here."""
        delta_file = manifest.delta(name)
        if delta_file is None:
            return None
        delta = self._fetch(manifest, delta_file)
        self.known.drop_bytes(name)
        return delta

    def _kept_as_delta(self, manifest: WeightManifest, name: str) -> WeightFile | None:
        """``None`` for a file that the folder holds whole."""
        if manifest.delta_of is None or any(file.name == name for file in manifest.stored):
            return None
        return manifest.delta(name)

    def _fetch(self, manifest: WeightManifest, file: WeightFile) -> bytes:
        """One file of the folder as it is stored; verified if it is a delta."""
        require_readable(manifest, [file], self._most)
        try:
            data = self._blobs.get(f"{folder_name(manifest.version)}/{file.name}", file.bytes)
        except CorruptVersion as error:
            raise CorruptVersion(f"{described(manifest, file)}: {error}") from None
        if data is None:
            self.manifest(manifest.version)
        if data is None or file.name.endswith(DELTA):
            return require_intact(manifest, file, data)
        return data
