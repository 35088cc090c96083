"""``WeightStore`` on a local folder or any fsspec URL: writes, reads and deletes versions."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from everfresh.adapters.blobs import open_blobs
from everfresh.adapters.weights.deltas import DeltaName, encode_delta
from everfresh.adapters.weights.known_contents import Named
from everfresh.adapters.weights.patches import most_made
from everfresh.adapters.weights.rejected_windows import read_rejected, write_rejected
from everfresh.adapters.weights.row_deltas import encode_row_delta
from everfresh.adapters.weights.signing import SIGNATURE, Keys
from everfresh.adapters.weights.version_folder import (
    LONGEST_CHAIN,
    MANIFEST,
    MOST_FILE,
    MOST_LIST,
    MOST_TEXT,
    PLAN,
    POINTERS,
    folder_name,
    folder_version,
    parse_manifest,
    parse_plans,
    parse_pointer,
    pointer_file,
    require_greater,
    require_readable,
    require_same_manifest,
    weight_file,
    winning_pointer,
    with_files,
)
from everfresh.adapters.weights.version_reader import VersionReader
from everfresh.contracts.errors import VersionNotFound, WeightsError
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
from everfresh.contracts.safetensors import TableFile, VersionFile, whole
from everfresh.contracts.settings import Settings

_LARGEST_DELTA = 0.7
"""Where a delta is larger than this share of its file, the whole file is stored instead."""


class FsspecWeightStore:
    """Its files are laid out by :mod:`everfresh.adapters.weights.version_folder`.

    Many readers and one writer may use a store at the same time. On a local folder every step is
    durable, and a second writer gets ``StalePublish``. An object store has no lock, so the operator
    must run one trainer only. A rollback is safe beside that trainer, and so is a promotion: they
    have a file of their own, which no publish overwrites.

    A version is stored as deltas of its parent (law 6), and every ``snapshot_every``-th version
    whole as well. Where deltas are made of rows that were touched, a whole version waits until they
    have come to its bytes, so that what is written follows from what was touched. A file that a
    delta would hardly shrink is stored whole. The choice follows from the two versions alone, so a
    version that is written again has the same files. Of tables the digests of the newest contents
    stay in memory, of other files the contents.

    Others may write to it. So nothing is read that is longer than it may be, and a file of a
    version that is said to have more than ``most`` bytes is refused unread.
    """

    def __init__(
        self, url: str, snapshot_every: int = 1, keys: Keys | None = None, most: int = MOST_FILE
    ) -> None:
        self._keys = keys or Keys()
        self._blobs = open_blobs(url)
        self._snapshot_every = snapshot_every
        self._most = most
        self._reader = VersionReader(url, self._blobs, self._keys, most)

    @classmethod
    def of(cls, settings: Settings, url: str = "") -> FsspecWeightStore:
        """The store at ``url``, or the one that the settings name, with their keys and limits."""
        weights = settings.weights
        return cls(
            url or settings.weights_url,
            weights.snapshot_every,
            Keys.of(weights),
            weights.max_file_mb << 20,
        )

    def name_files(self, parent: int | None, files: Mapping[str, VersionFile]) -> list[WeightFile]:
        """See the port."""
        named = self._reader.known.name_files(self._parent(parent), files)
        return [file.file for file in named.values()]

    def write(self, manifest: WeightManifest, files: Mapping[str, VersionFile]) -> WeightManifest:
        """See the port. Order: leftovers are removed, files written, the manifest written last."""
        known, parent = self._reader.known, self._parent(manifest.parent)
        named = known.name_files(parent, files)
        listed = with_files(manifest, [file.file for file in named.values()])
        filled, stored = self._encode(listed, named, parent)
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
                self._blobs.put(f"{folder}/{name}", whole(data))
            raw = encode_manifest(filled)
            signature = self._keys.sign(raw)
            if signature is not None:
                self._blobs.put(f"{folder}/{SIGNATURE}", signature)
            self._blobs.put(f"{folder}/{MANIFEST}", raw)
        known.written(named)
        return filled

    def manifest(self, version: int) -> WeightManifest:
        """See the port."""
        return self._reader.manifest(version)

    def read(self, manifest: WeightManifest, name: str) -> bytes:
        """See the port, and ``VersionReader``."""
        return self._reader.read(manifest, name)

    def view(self, manifest: WeightManifest, name: str) -> bytes:
        """See the port."""
        return self.read(manifest, name)

    def delta(self, manifest: WeightManifest, name: str) -> bytes | None:
        """See the port."""
        return self._reader.delta(manifest, name)

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
        raw = {name: self._blobs.get(name, MOST_TEXT) for name in POINTERS}
        return winning_pointer(parse_pointer(*named) for named in raw.items())

    def advance(self, pointer: Pointer) -> None:
        """See the port; ``VersionNotFound`` for a version that is not complete."""
        with self._blobs.exclusive():
            self.manifest(pointer.version)
            require_greater(self.pointer(), pointer)
            self._blobs.put(pointer_file(pointer), msgspec.json.encode(pointer))

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

    def set_aside(self, rejected: Rejected, files: Mapping[str, VersionFile]) -> None:
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
        self, manifest: WeightManifest, named: Mapping[str, Named], parent: WeightManifest | None
    ) -> tuple[WeightManifest, Mapping[str, VersionFile]]:
        """The files that the folder will hold, and the manifest that names them."""
        files = {name: file.contents for name, file in named.items()}
        if parent is None:
            return manifest, files
        deltas = self._deltas(manifest, named, parent)
        if not deltas:
            return manifest, files
        listed = {file.name: file for file in manifest.files}
        listed |= {name: weight_file(name, delta) for name, delta in deltas.items()}
        shrunk = {name for name in files if name + DELTA in deltas}
        chained = parent.chained if parent.depth else 0
        chained += sum(file.bytes for name, file in listed.items() if name not in shrunk)
        due = self._is_due(parent, manifest, named, chained)
        if due:
            chained = 0
            deltas = {
                name: delta
                for name, delta in deltas.items()
                if name.removesuffix(DELTA) in manifest.replica_files
            }
            if not deltas:
                return manifest, files
        stored = {name: files[name] for name in files if due or name not in shrunk} | deltas
        return msgspec.structs.replace(
            manifest,
            delta_of=parent.version,
            depth=0 if due else parent.depth + 1,
            stored=[listed[name] for name in sorted(stored)],
            chained=chained,
        ), stored

    def _is_due(
        self,
        parent: WeightManifest,
        manifest: WeightManifest,
        named: Mapping[str, Named],
        chained: int,
    ) -> bool:
        """Whether this version is to be stored whole: then that costs no more than deltas did."""
        depth = parent.depth + 1
        if depth < self._snapshot_every or depth >= LONGEST_CHAIN:
            return depth >= LONGEST_CHAIN
        tables = sum(file.file.bytes for file in named.values() if file.changes is not None)
        return chained >= tables

    def _deltas(
        self, manifest: WeightManifest, named: Mapping[str, Named], parent: WeightManifest
    ) -> dict[str, bytes]:
        """Deltas of files where they save much, by the names they are stored under."""
        of_parent = {file.name: file for file in parent.files}
        deltas: dict[str, bytes] = {}
        for name in sorted(of_parent.keys() & named.keys()):
            delta_name = DeltaName(name, parent.version, manifest.version)
            file = named[name]
            if isinstance(file.contents, TableFile):
                if file.changes is None:
                    continue
                digests = of_parent[name].digest, file.file.digest
                delta = encode_row_delta(delta_name, digests, file.contents, file.changes)
                most = file.file.bytes
            else:
                before = self._reader.contents(parent, name)
                delta = encode_delta(delta_name, before, file.contents)
                most = most_made(before, delta)
            if len(delta) < _LARGEST_DELTA * file.file.bytes and file.file.bytes <= most:
                deltas[name + DELTA] = delta
        return deltas

    def _parent(self, version: int | None) -> WeightManifest | None:
        """The version to take the difference from, if there is one."""
        if version is None or self._snapshot_every == 1:
            return None
        try:
            return self.manifest(version)
        except VersionNotFound:
            return None

    def _is_delta_of(self, version: int, base: int) -> bool:
        try:
            manifest = self.manifest(version)
        except VersionNotFound:
            return False
        return manifest.depth > 0 and manifest.delta_of == base
