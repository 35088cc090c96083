"""Snapshots of one partition's state in a folder or any fsspec store.

    files/<sha256>                     the files of the snapshots, by content
    s<offset>-<milliseconds>/
        manifest.json                  written last: with it the snapshot exists

Files are kept by content, so a snapshot uploads only files that no earlier one has uploaded. Most
files of a RocksDB directory never change. Files that no manifest names are removed after the next
snapshot.

On a local folder a lock lets one writer in at a time. An object store has no lock: a writer that
has lost its partition may remove a file that its successor has just relied on. Such a snapshot is
refused when it is read, as a damaged one is, and the one before it is used.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec

from everfresh.adapters.blobs import open_blobs
from everfresh.contracts.errors import CorruptVersion, SnapshotError, WeightsError
from everfresh.contracts.foreign import JSON, NEWER, newer

SNAPSHOT_FORMAT = 1
_MANIFEST = "manifest.json"
_FILES = "files"
_FOLDER = re.compile(r"s\d{20}-\d{13}")
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_READERS = 4  # files read at the same time; each is whole in memory, up to 64 MiB
_MOST_MANIFEST, _MOST_FILE = 2**26, 2**30
"""Bytes of a manifest and of a file of a snapshot, at most; RocksDB makes none of the latter."""


class Origin(msgspec.Struct, frozen=True):
    """Which state a snapshot is of. A snapshot of another origin is never restored."""

    cluster: str
    topic: str
    topic_id: str
    partition: int


class SnapshotFile(msgspec.Struct, frozen=True):
    """One file of the state directory."""

    name: str
    sha256: str
    bytes: int


class SnapshotManifest(msgspec.Struct, frozen=True):
    """Written by a worker after all files; read by the one that has lost its directory.

    ``applied`` is the offset after the last record in the state, ``created_ms`` is UTC. ``rules``
    are the settings that the worker folds by; empty where it did not say.
    """

    format: int
    origin: Origin
    applied: int
    created_ms: int
    files: list[SnapshotFile]
    rules: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The snapshot's folder; later offsets have greater names."""
        return f"s{self.applied:020d}-{self.created_ms:013d}"

    @property
    def bytes(self) -> int:
        """How many bytes a restore reads."""
        return sum(file.bytes for file in self.files)


class SnapshotStore:
    """The snapshots of one partition. Used by one thread; the store may have other readers.

    Everything raises :class:`SnapshotError` with reason ``unreachable`` where the store cannot be
    read or written, ``corrupt`` where what it holds is not what was written.
    """

    def __init__(self, url: str, topic: str, partition: int) -> None:
        """``url`` is a folder or an fsspec URL, ``state.snapshot_url``."""
        place = f"{url.rstrip('/')}/{topic}-{partition}"
        self._blobs = open_blobs(place, "state.snapshot_url")
        self._hashes: dict[tuple[int, int, int], str] = {}

    def names(self) -> list[str]:
        """Names of all snapshots, those of the greatest offset first; some may be unfinished."""
        with _as_snapshot_error():
            return sorted(filter(_FOLDER.fullmatch, self._blobs.folders()), reverse=True)

    def manifest(self, name: str) -> SnapshotManifest | None:
        """A snapshot's manifest; ``None`` where it is unfinished or was removed."""
        with _as_snapshot_error():
            raw = self._blobs.get(f"{name}/{_MANIFEST}", _MOST_MANIFEST)
        if raw is None:
            return None
        try:
            manifest = msgspec.json.decode(raw, type=SnapshotManifest)
        except (msgspec.MsgspecError, RecursionError) as error:
            if said := newer(raw, (SNAPSHOT_FORMAT,), JSON):
                raise SnapshotError("foreign", f"{_MANIFEST} of {name}: {said}") from None
            raise SnapshotError(
                "corrupt", f"{_MANIFEST} of {name} cannot be read ({error})"
            ) from None
        if manifest.format > SNAPSHOT_FORMAT:
            raise SnapshotError(
                "foreign",
                f"{_MANIFEST} of {name} names format {manifest.format}; expected format "
                f"{SNAPSHOT_FORMAT}; {NEWER}",
            )
        if manifest.format != SNAPSHOT_FORMAT or manifest.name != name:
            raise SnapshotError(
                "corrupt",
                f"{_MANIFEST} of {name} names format {manifest.format} and {manifest.name}; "
                f"expected format {SNAPSHOT_FORMAT}",
            )
        for file in manifest.files:
            if not (_SAFE.fullmatch(file.name) and _SHA256.fullmatch(file.sha256)):
                raise SnapshotError("corrupt", f"{name} names the file {file.name!r}")
            if not 0 <= file.bytes <= _MOST_FILE:
                raise SnapshotError(
                    "corrupt",
                    f"file {file.name} of {name} is said to have {file.bytes:,} bytes; at most "
                    f"{_MOST_FILE:,} are read",
                )
        return manifest

    def save(
        self, manifest: SnapshotManifest, folder: Path, keep: int, proceed: Callable[[], None]
    ) -> tuple[SnapshotManifest, int]:
        """Store the files of ``folder``; returns the filled manifest and the bytes uploaded.

        Order: new files, then the manifest, then older snapshots of this origin beyond ``keep``,
        then files that none names. ``proceed`` is called before each file and may raise to end it;
        until the manifest is there the snapshot does not exist.
        """
        with _as_snapshot_error(), self._blobs.exclusive():
            stored, uploaded, files = self._blobs.sizes(_FILES), 0, []
            for path, file in self._hashed_files(folder):
                proceed()
                if stored.get(file.sha256) != file.bytes:
                    self._blobs.put(f"{_FILES}/{file.sha256}", path.read_bytes())
                    uploaded += file.bytes
                files.append(file)
            proceed()
            filled = msgspec.structs.replace(manifest, files=files)
            self._blobs.put(f"{filled.name}/{_MANIFEST}", msgspec.json.encode(filled))
            self._prune(filled.origin, keep)
        return filled, uploaded

    def restore(
        self, manifest: SnapshotManifest, folder: Path, arrived: Callable[[int], None]
    ) -> None:
        """Write the files into ``folder``, each verified first.

        ``arrived`` is called with the bytes of each file that has been written.
        """

        def fetch(file: SnapshotFile) -> int:
            with _as_snapshot_error(f"file {file.name} of {manifest.name}: "):
                data = self._blobs.get(f"{_FILES}/{file.sha256}", file.bytes)
            if data is None:
                raise SnapshotError("corrupt", f"file {file.name} of {manifest.name} is missing")
            digest = hashlib.sha256(data).hexdigest()
            if digest != file.sha256:
                raise SnapshotError(
                    "corrupt",
                    f"file {file.name} of {manifest.name} has sha256 {digest}; {file.sha256} was "
                    "expected",
                )
            with (folder / file.name).open("wb") as written:
                written.write(data)
                written.flush()
                os.fsync(written.fileno())
            return len(data)

        with ThreadPoolExecutor(_READERS, thread_name_prefix="restore") as readers:
            for size in readers.map(fetch, manifest.files):
                arrived(size)

    def _hashed_files(self, folder: Path) -> Iterator[tuple[Path, SnapshotFile]]:
        known, self._hashes = self._hashes, {}
        for path in sorted(folder.iterdir()):
            status = path.stat()
            # A checkpoint links to the files of the state. A file that has not changed is the same
            # inode as last time, and need not be read again.
            identity = (status.st_ino, status.st_mtime_ns, status.st_size)
            digest = known.get(identity) or hashlib.sha256(path.read_bytes()).hexdigest()
            self._hashes[identity] = digest
            yield path, SnapshotFile(path.name, digest, status.st_size)

    def _prune(self, origin: Origin, keep: int) -> None:
        manifests, readable = [], True
        for name in self.names():
            try:
                manifest = self.manifest(name)
            except SnapshotError:
                readable = False  # which files it needs is unknown
                continue
            if manifest is None:  # killed before its manifest, or during its deletion
                self._blobs.remove_folder(name)
            else:
                manifests.append(manifest)
        # By offset: the clocks of two machines that owned the partition may disagree.
        manifests.sort(key=lambda manifest: (manifest.applied, manifest.created_ms), reverse=True)
        for old in [manifest for manifest in manifests if manifest.origin == origin][keep:]:
            self._blobs.remove(f"{old.name}/{_MANIFEST}")
            self._blobs.remove_folder(old.name)
            manifests.remove(old)
        if readable:
            needed = {file.sha256 for manifest in manifests for file in manifest.files}
            for sha256 in set(self._blobs.sizes(_FILES)) - needed:
                self._blobs.remove(f"{_FILES}/{sha256}")


@contextmanager
def _as_snapshot_error(what: str = "") -> Iterator[None]:
    """Turn errors of the store's files into this module's error, which says ``what`` first."""
    try:
        yield
    except CorruptVersion as error:
        raise SnapshotError("corrupt", f"{what}{error}") from None
    except (WeightsError, OSError) as error:
        raise SnapshotError("unreachable", str(error)) from None
