"""Snapshots of one partition's state in a folder or any fsspec store.

    files/<sha256>                     the files of the snapshots, by content
    s<offset>-<milliseconds>/
        manifest.json                  written last: with it the snapshot exists

Files are kept by content, so that a snapshot uploads only what no earlier one has brought; most of
a RocksDB directory are files that never change. What no manifest names is removed after the next
snapshot. On a local folder writers take turns; an object store has no lock, and a writer that lost
its partition may remove a file which its successor has just found to be there: such a snapshot is
refused when it is read, as a damaged one is, and the one before it is taken.
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
from everfresh.contracts.errors import SnapshotError, WeightsError

FORMAT = 1
_MANIFEST = "manifest.json"
_FILES = "files"
_FOLDER = re.compile(r"s\d{20}-\d{13}")
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_READERS = 4  # files read at a time; each is in memory as a whole, RocksDB's are up to 64 MiB


class Origin(msgspec.Struct, frozen=True):
    """Which state a snapshot is of. One of another origin is never taken."""

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

    ``applied`` is the offset after the last record in the state, ``created_ms`` is UTC.
    """

    format: int
    origin: Origin
    applied: int
    created_ms: int
    files: list[SnapshotFile]

    @property
    def name(self) -> str:
        """The snapshot's folder; later offsets have greater names."""
        return f"s{self.applied:020d}-{self.created_ms:013d}"

    @property
    def bytes(self) -> int:
        """What a restore reads."""
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
        with _told():
            return sorted(filter(_FOLDER.fullmatch, self._blobs.folders()), reverse=True)

    def manifest(self, name: str) -> SnapshotManifest | None:
        """What a snapshot says of itself; ``None`` where it does not exist yet, or any more."""
        with _told():
            raw = self._blobs.get(f"{name}/{_MANIFEST}")
        if raw is None:
            return None
        try:
            found = msgspec.json.decode(raw, type=SnapshotManifest)
        except msgspec.MsgspecError as error:
            raise SnapshotError("corrupt", f"{_MANIFEST} of {name} is not one ({error})") from None
        if found.format != FORMAT or found.name != name:
            raise SnapshotError(
                "corrupt",
                f"{_MANIFEST} of {name} names format {found.format} and {found.name}; expected "
                f"format {FORMAT}",
            )
        for file in found.files:
            if not (_SAFE.fullmatch(file.name) and _SHA256.fullmatch(file.sha256)):
                raise SnapshotError("corrupt", f"{name} names the file {file.name!r}")
        return found

    def save(
        self, manifest: SnapshotManifest, folder: Path, keep: int, proceed: Callable[[], None]
    ) -> tuple[SnapshotManifest, int]:
        """Store the files of ``folder``; returns the filled manifest and the bytes uploaded.

        Order: new files, then the manifest, then older snapshots of this origin beyond ``keep``,
        then files that none names. ``proceed`` is called before each file and may raise to end it;
        until the manifest is there the snapshot does not exist.
        """
        with _told(), self._blobs.exclusive():
            there, uploaded, files = self._blobs.sizes(_FILES), 0, []
            for path, file in self._described(folder):
                proceed()
                if there.get(file.sha256) != file.bytes:
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
        """Write the files into ``folder``, each verified first; ``arrived`` hears of bytes done."""

        def bring(file: SnapshotFile) -> int:
            with _told():
                data = self._blobs.get(f"{_FILES}/{file.sha256}")
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
            for size in readers.map(bring, manifest.files):
                arrived(size)

    def _described(self, folder: Path) -> Iterator[tuple[Path, SnapshotFile]]:
        known, self._hashes = self._hashes, {}
        for path in sorted(folder.iterdir()):
            about = path.stat()
            # A checkpoint links to the files of the state: a file that has not changed is the same
            # one as last time, and need not be read again.
            identity = (about.st_ino, about.st_mtime_ns, about.st_size)
            digest = known.get(identity) or hashlib.sha256(path.read_bytes()).hexdigest()
            self._hashes[identity] = digest
            yield path, SnapshotFile(path.name, digest, about.st_size)

    def _prune(self, origin: Origin, keep: int) -> None:
        found, readable = [], True
        for name in self.names():
            try:
                manifest = self.manifest(name)
            except SnapshotError:
                readable = False  # what it needs cannot be told
                continue
            if manifest is None:  # cut short at its manifest, or at its deletion
                self._blobs.remove_folder(name)
            else:
                found.append(manifest)
        # By what they reach: the clocks of two machines that owned the partition may disagree.
        found.sort(key=lambda manifest: (manifest.applied, manifest.created_ms), reverse=True)
        for old in [manifest for manifest in found if manifest.origin == origin][keep:]:
            self._blobs.remove(f"{old.name}/{_MANIFEST}")
            self._blobs.remove_folder(old.name)
            found.remove(old)
        if readable:
            needed = {file.sha256 for manifest in found for file in manifest.files}
            for sha256 in set(self._blobs.sizes(_FILES)) - needed:
                self._blobs.remove(f"{_FILES}/{sha256}")


@contextmanager
def _told() -> Iterator[None]:
    """What the store's files raise, as the error of this module."""
    try:
        yield
    except (WeightsError, OSError) as error:
        raise SnapshotError("unreachable", str(error)) from None
