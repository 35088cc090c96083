"""Restores a lost state directory from a snapshot; what the log holds after it is replayed.

In this order, so that a kill at any point leaves the partition to be restored anew:

1. the newest snapshot whose manifest names this log, and an offset that the log still holds;
2. its files into ``<directory>.restoring``, each verified by its sha256;
3. the state in there is opened as the worker will open it, with all its checks, and closed;
4. the directory takes its place by one rename.

A snapshot that fails at 1, 2 or 3 is named, counted and left alone, and the next one is tried.
Where none is left, the log is replayed from its beginning; where retention has cut that,
:class:`LogTruncated` says so, unless ``state.accept_truncated_log`` is set.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from everfresh.adapters.state.freshness import forget_mark
from everfresh.adapters.state.snapshots import Origin, SnapshotManifest, SnapshotStore
from everfresh.contracts.errors import (
    LogMismatch,
    LogTruncated,
    SnapshotError,
    StateError,
    StateFormatError,
)
from everfresh.streaming.log.identity import LogPlace

_ROOM_BYTES = 2**20
_UNFIT_S = 600.0
_log = logging.getLogger("everfresh.streaming")


class RestoreFigures:
    """Progress and counts of restores.

    Written by the thread that restores, read by status and metrics.

    ``refused`` counts snapshots by reason, ``from_snapshot`` and ``from_log`` partitions by where
    their state came from, ``truncated`` the records that retention had removed before a rebuild
    from the log. ``bytes_left`` is what the snapshot being read still lacks. What was read and
    could not be used is left alone for ten minutes, however often a follower asks: it may be large.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.from_snapshot = 0
        self.from_log = 0
        self.truncated = 0
        self.bytes_left = 0
        self._unfit: dict[tuple[int, str], float] = {}

    def note_unfit(self, partition: int, name: str) -> None:
        """A snapshot was read, and cannot be used."""
        self._unfit[partition, name] = time.monotonic()

    def is_unfit(self, partition: int, name: str) -> bool:
        """Whether that was so lately."""
        noted = self._unfit.get((partition, name))
        return noted is not None and time.monotonic() - noted < _UNFIT_S


def restore(
    path: Path,
    place: LogPlace,
    store: SnapshotStore,
    check: Callable[[Path], None],
    figures: RestoreFigures,
    choose: Callable[[SnapshotManifest], None] = lambda manifest: None,
) -> SnapshotManifest | None:
    """Steps 1 to 4; ``None`` where no snapshot can be used.

    ``choose`` raises ``SnapshotError`` for a snapshot that is to be left out before it is read.

    ``check`` opens and closes the state in a directory and raises ``StateError`` where the worker
    could not go on with it. ``StateError`` where the disk does not take the state.
    """
    draft = path.with_name(f"{path.name}.restoring")
    try:
        return _restore(path, draft, place, store, check, figures, choose)
    except OSError as error:
        raise StateError(
            f"partition {place.partition} cannot be restored to {draft}: {error}; make room on "
            "that disk or mend it, then start the worker again"
        ) from None


def _restore(
    path: Path,
    draft: Path,
    place: LogPlace,
    store: SnapshotStore,
    check: Callable[[Path], None],
    figures: RestoreFigures,
    choose: Callable[[SnapshotManifest], None],
) -> SnapshotManifest | None:
    try:
        names = store.names()
    except SnapshotError as error:
        _refuse(place, "all snapshots", error, figures)
        return None
    for name in names:
        read = False
        try:
            manifest = store.manifest(name)
            if manifest is None or figures.is_unfit(place.partition, name):
                continue
            _require_usable(manifest, place)
            choose(manifest)
            read = True
            _download(manifest, draft, store, figures)
            _require_openable(draft, check)
        except SnapshotError as error:
            _refuse(place, f"snapshot {name}", error, figures)
            if read and error.reason in {"foreign", "corrupt"}:
                figures.note_unfit(place.partition, name)
            continue
        finally:
            figures.bytes_left = 0
        _move_into_place(draft, path)
        figures.from_snapshot += 1
        _log.info("partition %d: restored %s, %d bytes", place.partition, name, manifest.bytes)
        return manifest
    shutil.rmtree(draft, ignore_errors=True)
    return None


def begin_anew(
    place: LogPlace, accept_truncated: bool, figures: RestoreFigures, *, reached: bool = True
) -> None:
    """Begin with the start of the log, where there is no state and no usable snapshot.

    Where that start is gone: ``SnapshotError`` unless the snapshots could be ``reached``, since
    they may hold what the log has lost, and ``LogTruncated`` unless ``accept_truncated``.
    """
    if place.start and not reached:
        raise SnapshotError(
            "unreachable",
            f"partition {place.partition} of {place.topic} has no state here, its log begins at "
            f"{place.start}, and its snapshots, which may have what came before, cannot be "
            "reached; see that this machine reaches state.snapshot_url (the lines of the worker's "
            "log before this one say why not)",
        )
    if place.start and not accept_truncated:
        raise LogTruncated(
            f"partition {place.partition} of {place.topic} has no state and no snapshot that can "
            f"be used, and its log begins at {place.start}: what came before is gone, and users "
            "would lack it; put a snapshot where state.snapshot_url says, or set "
            "state.accept_truncated_log to begin with what the log holds"
        )
    if place.start:
        _log.warning(
            "partition %d: the state begins at offset %d, without the records before",
            place.partition,
            place.start,
        )
    figures.from_log += 1
    figures.truncated += place.start


def origin_of(place: LogPlace) -> Origin:
    """What snapshots of this partition's state name as their origin."""
    return Origin(place.cluster, place.topic, place.topic_id, place.partition)


def _require_usable(manifest: SnapshotManifest, place: LogPlace) -> None:
    expected = origin_of(place)
    for name in expected.__struct_fields__:
        theirs, ours = getattr(manifest.origin, name), getattr(expected, name)
        if theirs != ours:
            raise SnapshotError("foreign", f"it is of {name} {theirs}, this is {name} {ours}")
    if not place.start <= manifest.applied <= place.end:
        raise SnapshotError(
            "out of reach",
            f"it ends at offset {manifest.applied}, the log holds {place.start} to {place.end}",
        )


def _download(
    manifest: SnapshotManifest, draft: Path, store: SnapshotStore, figures: RestoreFigures
) -> None:
    def arrived(size: int) -> None:
        figures.bytes_left -= size

    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    figures.bytes_left = manifest.bytes
    store.restore(manifest, draft, arrived)


def _require_openable(draft: Path, check: Callable[[Path], None]) -> None:
    try:
        check(draft)
    except (StateFormatError, LogMismatch) as error:
        raise SnapshotError("foreign", str(error)) from None
    except StateError as error:
        if shutil.disk_usage(draft).free < _ROOM_BYTES:
            raise  # the snapshot is not to blame
        raise SnapshotError("corrupt", str(error)) from None


def _move_into_place(draft: Path, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    forget_mark(path)
    draft.rename(path)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse(place: LogPlace, what: str, error: SnapshotError, figures: RestoreFigures) -> None:
    figures.refused[error.reason] += 1
    _log.warning("partition %d: %s is not used: %s", place.partition, what, error)
