"""``WeightStore`` on a local folder or any fsspec URL: writes, reads and deletes versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from everfresh.adapters.blobs import open_blobs
from everfresh.adapters.weights.deltas import DeltaName, apply_delta, encode_delta
from everfresh.adapters.weights.patches import most_made
from everfresh.adapters.weights.rejected_windows import read_rejected, write_rejected
from everfresh.adapters.weights.signing import SIGNATURE, Keys
from everfresh.adapters.weights.version_folder import (
    MANIFEST,
    MOST_FILE,
    MOST_LIST,
    MOST_TEXT,
    PLAN,
    POINTER,
    ROLLBACK,
    described,
    folder_name,
    folder_version,
    named_file,
    parse_manifest,
    parse_plans,
    parse_pointer,
    require_greater,
    require_intact,
    require_nearer,
    require_readable,
    require_same_manifest,
    weight_file,
    winning_pointer,
    with_files,
)
from everfresh.contracts.errors import CorruptVersion, VersionNotFound, WeightsError
from everfresh.contracts.manifest import (
    DELTA,
    Plan,
    Pointer,
    Rejected,
    WeightFile,
    WeightManifest,
    encode_manifest,
    with_plan,
)
from everfresh.contracts.settings import Settings

_LARGEST_DELTA = 0.7
"""Where a delta is larger than this share of its file, the whole file is stored instead."""


class FsspecWeightStore:
    """Its files are laid out by :mod:`everfresh.adapters.weights.version_folder`.

    Many readers and one writer may use a store at the same time. On a local folder every step is
    durable, and a second writer gets ``StalePublish``. An object store has no lock, so the operator
    must run one trainer only. A rollback is safe beside that trainer: it has a file of its own,
    which no publish overwrites.

    A version is stored as deltas of its parent (law 6), and every ``snapshot_every``-th version
    whole as well. A file that a delta would hardly shrink is stored whole. The choice follows from
    the two versions alone, so a version that is written again has the same files. The newest
    contents of each file stay in memory: reading the versions in order fetches deltas only.

    Others may write to it. So nothing is read that is longer than it may be, and a file of a
    version that is said to have more than ``most`` bytes is refused unread.
    """

    def __init__(
        self, url: str, snapshot_every: int = 1, keys: Keys | None = None, most: int = MOST_FILE
    ) -> None:
        self._url = url
        self._keys = keys or Keys()
        self._blobs = open_blobs(url)
        self._snapshot_every = snapshot_every
        self._most = most
        self._newest: dict[str, tuple[WeightFile, bytes]] = {}

    @classmethod
    def of(cls, settings: Settings) -> FsspecWeightStore:
        """The store that the settings name, with their keys and limits."""
        weights = settings.weights
        return cls(
            settings.weights_url,
            weights.snapshot_every,
            Keys.of(weights),
            weights.max_file_mb << 20,
        )

    def write(self, manifest: WeightManifest, files: Mapping[str, bytes]) -> WeightManifest:
        """See the port. Order: leftovers are removed, files written, the manifest written last."""
        filled, stored = self._encode(with_files(manifest, files), files)
        require_readable(filled, filled.files, self._most)
        folder = folder_name(manifest.version)
        with self._blobs.exclusive():
            raw_manifest = self._blobs.get(f"{folder}/{MANIFEST}", MOST_TEXT)
            if raw_manifest is not None:
                existing = parse_manifest(manifest.version, raw_manifest)
                require_same_manifest(existing, filled)
                return existing
            self._blobs.remove_folder(folder)
            for name, data in stored.items():
                self._blobs.put(f"{folder}/{name}", data)
            raw = encode_manifest(filled)
            signature = self._keys.sign(raw)
            if signature is not None:
                self._blobs.put(f"{folder}/{SIGNATURE}", signature)
            self._blobs.put(f"{folder}/{MANIFEST}", raw)
        self._newest = {file.name: (file, bytes(files[file.name])) for file in filled.files}
        return filled

    def manifest(self, version: int) -> WeightManifest:
        """See the port."""
        raw = self._blobs.get(f"{folder_name(version)}/{MANIFEST}", MOST_TEXT)
        if raw is None:
            raise VersionNotFound(f"version {version} is not in the weight store {self._url}")
        signature = self._blobs.get(f"{folder_name(version)}/{SIGNATURE}", MOST_TEXT)
        self._keys.require_signed(version, raw, signature)
        return parse_manifest(version, raw)

    def read(self, manifest: WeightManifest, name: str) -> bytes:
        """See the port; ``VersionNotFound`` where the version was deleted meanwhile.

        ``WrongParent`` where a delta is of another version than its manifest names.
        """
        file = named_file(manifest, name)
        stored = {entry.name: entry for entry in manifest.stored or manifest.files}
        delta_file = manifest.delta(name)
        if manifest.delta_of is None or delta_file is None or name in stored:
            data = require_intact(manifest, file, self._fetch(manifest, stored.get(name, file)))
        else:
            require_readable(manifest, [file], self._most)
            parent = require_nearer(manifest, self.manifest(manifest.delta_of))
            before = self._contents(parent, name)
            delta = self._fetch(manifest, delta_file)
            delta_name = DeltaName(name, parent.version, manifest.version)
            data = apply_delta(delta_name, before, delta, named_file(parent, name).sha256)
            require_intact(manifest, file, data)
        self._newest[name] = (file, data)
        return data

    def view(self, manifest: WeightManifest, name: str) -> bytes:
        """See the port."""
        return self.read(manifest, name)

    def delta(self, manifest: WeightManifest, name: str) -> bytes | None:
        """See the port. A caller that applies deltas has the contents, so they are dropped here."""
        delta_file = manifest.delta(name)
        if delta_file is None:
            return None
        delta = self._fetch(manifest, delta_file)
        self._newest.pop(name, None)
        return delta

    def versions(self) -> list[int]:
        """See the port."""
        folders = [(folder_version(name), name) for name in self._blobs.folders()]
        return sorted(
            version
            for version, name in folders
            if version is not None and MANIFEST in self._blobs.sizes(name)
        )

    def pointer(self) -> Pointer | None:
        """See the port; ``CorruptVersion`` where the file is damaged."""
        raw = {name: self._blobs.get(name, MOST_TEXT) for name in (POINTER, ROLLBACK)}
        return winning_pointer(parse_pointer(*named) for named in raw.items())

    def advance(self, pointer: Pointer) -> None:
        """See the port; ``VersionNotFound`` for a version that is not complete."""
        with self._blobs.exclusive():
            self.manifest(pointer.version)
            require_greater(self.pointer(), pointer)
            name = ROLLBACK if pointer.left else POINTER
            self._blobs.put(name, msgspec.json.encode(pointer))

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
            later = [number for number in self.versions() if number > version]
            if children := [number for number in later if self._is_delta_of(number, version)]:
                raise WeightsError(
                    f"version {children[0]} is kept as a delta of version {version}, which cannot "
                    f"be deleted before it"
                )
            self._blobs.remove(f"{folder_name(version)}/{MANIFEST}")
            self._blobs.remove_folder(folder_name(version))

    def set_aside(self, rejected: Rejected, files: Mapping[str, bytes]) -> None:
        """See the port; stored whole, never as deltas."""
        with self._blobs.exclusive():
            write_rejected(self._blobs, rejected, files)

    def rejected(self) -> list[Rejected]:
        """See the port; ``CorruptVersion`` where the list is damaged."""
        return read_rejected(self._blobs)

    def sweep(self) -> None:
        """See the port."""
        with self._blobs.exclusive():
            current, complete = self.pointer(), set(self.versions())
            for name in self._blobs.folders():
                version = folder_version(name)
                if version is None or version in complete or current is None:
                    continue
                if version < current.version:
                    self._blobs.remove_folder(name)

    def plan(self, plan: Plan) -> None:
        """See the port."""
        with self._blobs.exclusive():
            self._blobs.put(PLAN, msgspec.json.encode(with_plan(self.planned(), plan)))

    def planned(self) -> list[Plan]:
        """See the port; ``CorruptVersion`` where the file is damaged."""
        return parse_plans(self._blobs.get(PLAN, MOST_LIST))

    def _encode(
        self, manifest: WeightManifest, files: Mapping[str, bytes]
    ) -> tuple[WeightManifest, Mapping[str, bytes]]:
        """The files that the folder will hold, and the manifest that names them."""
        parent = self._parent(manifest)
        if parent is None:
            return manifest, files
        whole = parent.depth + 1 >= self._snapshot_every
        deltas = self._deltas(
            manifest, files, parent, manifest.replica_files if whole else tuple(files)
        )
        if not deltas:
            return manifest, files
        stored = dict(files)
        if not whole:
            stored = {name: files[name] for name in files if name + DELTA not in deltas}
        stored |= deltas
        listed = [weight_file(name, stored[name]) for name in sorted(stored)]
        depth = 0 if whole else parent.depth + 1
        return msgspec.structs.replace(
            manifest, delta_of=parent.version, depth=depth, stored=listed
        ), stored

    def _deltas(
        self,
        manifest: WeightManifest,
        files: Mapping[str, bytes],
        parent: WeightManifest,
        wanted: Collection[str],
    ) -> dict[str, bytes]:
        """Deltas of the wanted files where they save much, by the names they are stored under."""
        of_parent = {file.name for file in parent.files}
        deltas: dict[str, bytes] = {}
        for name in sorted(of_parent & files.keys() & set(wanted)):
            delta_name = DeltaName(name, parent.version, manifest.version)
            before, after = self._contents(parent, name), files[name]
            delta = encode_delta(delta_name, before, after)
            if len(delta) < _LARGEST_DELTA * len(after) and len(after) <= most_made(before, delta):
                deltas[name + DELTA] = delta
        return deltas

    def _parent(self, manifest: WeightManifest) -> WeightManifest | None:
        """The version to take the difference from, if there is one."""
        if manifest.parent is None or self._snapshot_every == 1:
            return None
        try:
            return self.manifest(manifest.parent)
        except VersionNotFound:
            return None

    def _contents(self, manifest: WeightManifest, name: str) -> bytes:
        """A whole file to take a difference from: from memory, if it is there."""
        cached = self._newest.get(name)
        if cached is not None and cached[0] == named_file(manifest, name):
            return cached[1]
        return self.read(manifest, name)

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

    def _is_delta_of(self, version: int, base: int) -> bool:
        try:
            manifest = self.manifest(version)
        except VersionNotFound:
            return False
        return manifest.depth > 0 and manifest.delta_of == base
