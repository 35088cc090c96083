"""The ports in memory, for tests and experiments.

The conformance suites run over these and the real implementations alike, so both keep the same
promises.
"""

from __future__ import annotations

from collections.abc import Mapping

from everfresh.adapters.state.user_state import UserReader, by_likelihood, read_meta
from everfresh.adapters.weights.known_contents import KnownContents
from everfresh.adapters.weights.rejected_windows import with_rejected
from everfresh.adapters.weights.row_digests import FileDigests
from everfresh.adapters.weights.version_folder import (
    folder_name,
    named_file,
    parse_manifest,
    require_greater,
    require_intact,
    require_same_manifest,
    with_files,
)
from everfresh.contracts.errors import LogMismatch, VersionNotFound, WeightsError
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import Track, require_track_name, with_track
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.manifest import (
    Plan,
    Pointer,
    Rejected,
    WeightFile,
    WeightManifest,
    encode_manifest,
    with_plan,
)
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.safetensors import VersionFile, whole
from everfresh.contracts.sequence import PartitionMeta, StoredSequence, UserState
from everfresh.contracts.window import SliceRecord


class ManualClock:
    """A clock that stands still until told otherwise."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def __call__(self) -> int:
        """The time, UTC ms."""
        return self._now_ms

    def advance(self, ms: int) -> int:
        """Move forward and return the new time."""
        assert ms >= 0, "time does not run backwards"
        self._now_ms += ms
        return self._now_ms

    def set_back(self, ms: int) -> int:
        """Stand earlier, as a machine's clock does that was corrected; return that time."""
        self._now_ms -= ms
        return self._now_ms


class MemoryWeightStore:
    """``WeightStore`` in two dicts."""

    def __init__(self) -> None:
        self._manifests: dict[int, bytes] = {}
        self._files: dict[tuple[int, str], bytes] = {}
        self._known = KnownContents()
        self._pointer: Pointer | None = None
        self._rejected: list[Rejected] = []
        self._plans: list[Plan] = []

    def name_files(self, parent: int | None, files: Mapping[str, VersionFile]) -> list[WeightFile]:
        """See the port."""
        named = self._known.name_files(None if parent is None else self.manifest(parent), files)
        return [file.file for file in named.values()]

    def write(self, manifest: WeightManifest, files: Mapping[str, VersionFile]) -> WeightManifest:
        """See the port."""
        known = manifest.parent if manifest.parent in self._manifests else None
        filled = with_files(manifest, self.name_files(known, files))
        self._known.written({})
        folder_name(manifest.version)
        if manifest.version in self._manifests:
            existing = self.manifest(manifest.version)
            require_same_manifest(existing, filled)
            return existing
        self._files.update({(manifest.version, name): whole(files[name]) for name in files})
        self._manifests[manifest.version] = encode_manifest(filled)
        return filled

    def manifest(self, version: int) -> WeightManifest:
        """See the port."""
        if version not in self._manifests:
            raise VersionNotFound(f"version {version} is not in the weight store in memory")
        return parse_manifest(version, self._manifests[version])

    def read(self, manifest: WeightManifest, name: str) -> bytes:
        """See the port."""
        file = named_file(manifest, name)
        self.manifest(manifest.version)
        data = require_intact(manifest, file, self._files.get((manifest.version, name)))
        if file.root:
            self._known.keep(name, FileDigests.of(data))
        return data

    def view(self, manifest: WeightManifest, name: str) -> bytes:
        """See the port."""
        return self.read(manifest, name)

    def delta(self, manifest: WeightManifest, name: str) -> bytes | None:
        """See the port: files are kept whole here."""
        return None

    def versions(self) -> list[int]:
        """See the port."""
        return sorted(self._manifests)

    def pointer(self) -> Pointer | None:
        """See the port."""
        return self._pointer

    def advance(self, pointer: Pointer) -> None:
        """See the port."""
        self.manifest(pointer.version)
        require_greater(self._pointer, pointer)
        self._pointer = pointer

    def delete(self, version: int) -> None:
        """See the port."""
        names = [file.name for file in self.manifest(version).files]
        if self._pointer is not None and self._pointer.version == version:
            raise WeightsError(f"version {version} is the current one and cannot be deleted")
        del self._manifests[version]
        for name in names:
            del self._files[version, name]

    def set_aside(self, rejected: Rejected, files: Mapping[str, VersionFile]) -> None:
        """See the port."""
        self._rejected = with_rejected(self._rejected, rejected, files)

    def rejected(self) -> list[Rejected]:
        """See the port."""
        return list(self._rejected)

    def sweep(self) -> None:
        """See the port: no write here can be cut short."""

    def plan(self, plan: Plan) -> None:
        """See the port."""
        self._plans = with_plan(self._plans, plan)

    def planned(self) -> list[Plan]:
        """See the port."""
        return list(self._plans)

    def damage(self, version: int, name: str, data: bytes) -> None:
        """Replace a stored file and leave its manifest as it is, as a bad disk would."""
        self._files[version, name] = data


class MemoryTracks:
    """``TrackStore`` over weight stores in memory; ``root`` has the default track."""

    def __init__(self, root: MemoryWeightStore | None = None, look_s: float = 0.005) -> None:
        self.look_s = look_s
        self._stores = {DEFAULT: root or MemoryWeightStore()}
        self._declared: dict[str, Track] = {}

    def declared(self) -> dict[str, Track]:
        """See the port."""
        return dict(self._declared)

    def declare(self, track: Track) -> None:
        """See the port."""
        self._declared = with_track(self._declared, track)

    def remove(self, name: str) -> None:
        """See the port."""
        require_track_name(name)
        self._declared.pop(name, None)
        self._stores.pop(name, None)

    def store(self, name: str) -> MemoryWeightStore:
        """See the port."""
        if name != DEFAULT:
            require_track_name(name)
        return self._stores.setdefault(name, MemoryWeightStore())

    def stored_bytes(self, name: str) -> int:
        """See the port."""
        store = self.store(name)
        manifests = map(store.manifest, store.versions())
        return sum(file.bytes for manifest in manifests for file in manifest.files)


class MemoryWindowSource:
    """``WindowSource`` over a log in memory.

    ``log`` maps partition to its records, whose indexes are their offsets. It belongs to the
    caller and may grow: records are seen as they come, as with a topic.
    """

    def __init__(self, log: Mapping[int, list[SliceRecord]]) -> None:
        self._log = log
        self._next = dict.fromkeys(log, 0)

    def partitions(self) -> list[int]:
        """See the port."""
        return sorted(self._log)

    def seek(self, positions: Mapping[int, int]) -> None:
        """See the port."""
        unknown = sorted(set(positions) - set(self._log))
        if unknown:
            raise LogMismatch(f"the windows log in memory has no partition {unknown[0]}")
        self._next = {number: positions.get(number, 0) for number in self._log}

    def poll(self, timeout_ms: int) -> list[tuple[int, int, SliceRecord]]:
        """See the port; never waits."""
        out: list[tuple[int, int, SliceRecord]] = []
        for number, records in self._log.items():
            start = self._next[number]
            if not 0 <= start <= len(records):
                raise LogMismatch(
                    f"partition {number} of the windows log in memory ends at {len(records)} and "
                    f"is to be read from {start}"
                )
            out.extend((number, start + at, record) for at, record in enumerate(records[start:]))
            self._next[number] = len(records)
        return out

    def left_out(self) -> tuple[int, str]:
        """See the port; a log in memory holds slice records alone."""
        return 0, ""


class MemoryHistoryReader:
    """``HistoryReader`` over dicts with the keys of a state directory.

    ``stores`` maps partition to its pairs; later changes of them are seen.
    """

    def __init__(self, stores: Mapping[int, Mapping[bytes, bytes]], history_length: int) -> None:
        self._stores = stores
        self._length = history_length

    def read(self, user: UserId) -> UserState | None:
        """See the port."""
        stored = self.stored(user)
        return None if stored is None else stored.decode()

    def stored(self, user: UserId) -> StoredSequence | None:
        """See the port."""
        for partition in by_likelihood(user, sorted(self._stores)):
            reader = UserReader(self._stores[partition].get, partition, self._length)
            stored = reader.stored(user)
            if stored is not None:
                return stored
        return None

    def partition_meta(self, partition: int) -> PartitionMeta | None:
        """A partition's description of its state; ``None`` where it is not known yet."""
        store = self._stores.get(partition)
        return None if store is None else read_meta(store.get)


class MemoryExposureSink:
    """``ExposureSink`` that keeps exposures in a list; while ``broken``, it counts failures."""

    def __init__(self) -> None:
        self.exposures: list[Exposure] = []
        self.broken = False
        self._failed = 0

    def send(self, exposure: Exposure) -> None:
        """See the port."""
        if self.broken:
            self._failed += 1
        else:
            self.exposures.append(exposure)

    def failed(self) -> int:
        """See the port."""
        return self._failed


class MemoryReportSink:
    """``ReportSink`` that keeps reports and statuses in lists."""

    def __init__(self) -> None:
        self.windows: list[WindowReport] = []
        self.statuses: list[ComponentStatus] = []

    def window(self, report: WindowReport) -> None:
        """See the port."""
        self.windows.append(report)

    def status(self, status: ComponentStatus) -> None:
        """See the port."""
        self.statuses.append(status)
