"""Opens the standbys of a machine: from its own disk, from a snapshot, or from the log's beginning.

A follower's state is only a copy, so where the own one cannot go on, a snapshot takes its place:

- the log no longer holds what comes next (the follower was away for longer than it is kept);
- it was folded by other settings, or by a release with another format.

Where state and log contradict each other (another log, or one that was cut), it stops, as a worker
does: which of the two is right is the operator's to say.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

from everfresh.adapters.state.snapshots import SnapshotManifest, SnapshotStore
from everfresh.contracts.errors import SnapshotError, StateFormatError
from everfresh.contracts.sequence import META_KEY
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.streaming.fold.opening import decode_meta
from everfresh.streaming.fold.rules import differing, fold_rules
from everfresh.streaming.follower import READY_LINE
from everfresh.streaming.follower.standby import (
    Standby,
    begin_standby,
    open_standby,
    require_standby,
    strip_ownership,
)
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.state.restore import RestoreFigures, restore
from everfresh.streaming.state.store import RocksStore, block_cache

_log = logging.getLogger("everfresh.streaming")


def progress(here: int, wanted: int, bytes_left: int, waits: Mapping[int, str]) -> str:
    """How far the state is on its way, in a line: partitions that are here and are to be, bytes of
    snapshots that are still to be read, and why a partition waits."""
    if here == wanted:
        return READY_LINE
    said = [f"the state of {here} of {wanted} partitions is here"]
    if bytes_left:
        said.append(f"{bytes_left / 1e6:,.1f} MB of snapshots are still to come")
    for number in sorted(waits)[:1]:
        said.append(f"partition {number} waits: {waits[number]}")
    return "; ".join(said)


class Standbys:
    """Opens one partition per call, each in a thread of its own if the caller likes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topic_name(settings.kafka.topic_prefix, EVENTS)
        self._rules = fold_rules(settings)
        self._cache = block_cache(settings.state.block_cache_mb)
        self.restores: dict[int, RestoreFigures] = {}
        """By partition."""

    def open(self, place: LogPlace) -> Standby:
        """The standby of this partition.

        ``SnapshotError`` where a snapshot is needed and none can be used yet: ask again later.
        ``StateError`` where the disk, or what is on it, needs the operator.
        """
        store = self._store(self._path(place.partition))
        try:
            standby = self._from_disk(store, place)
        except BaseException:
            store.close()
            raise
        if standby is not None:
            return standby
        anew = store.get(META_KEY) is None
        store.close()
        return self._from_snapshot(place, anew)

    def difference(self, number: int) -> str:
        """What the worker folds by other settings than this follower, by its newest snapshot of a
        partition; empty for nothing, or where that cannot be read. Waits for the store."""
        store = self._snapshots(number)
        with contextlib.suppress(SnapshotError):
            for name in store.names():
                if (manifest := store.manifest(name)) is not None:
                    return differing(manifest.rules, self._rules)
        return ""

    def _from_disk(self, store: RocksStore, place: LogPlace) -> Standby | None:
        """``None`` where a snapshot must take the place of what is there."""
        raw = store.get(META_KEY)
        require_standby(store, place)
        if raw is None:
            return None
        try:
            meta = decode_meta(raw)
            if meta.topic_id == place.topic_id and meta.applied < place.start:
                raise StateFormatError(
                    f"it reaches offset {meta.applied} and the log begins at {place.start}: the "
                    "follower was away for longer than the log is kept"
                )
            return open_standby(store, place, self._rules)
        except StateFormatError as error:
            _log.warning(
                "partition %d: the state on this disk is not used, a snapshot takes its place: %s",
                place.partition,
                error,
            )
            return None

    def _from_snapshot(self, place: LogPlace, anew: bool) -> Standby:
        path = self._path(place.partition)
        figures = self.restores.setdefault(place.partition, RestoreFigures())
        snapshots = self._snapshots(place.partition)
        unreachable = figures.refused["unreachable"]

        def check(draft: Path) -> None:
            opened = self._store(draft)
            try:
                strip_ownership(opened)
                open_standby(opened, place, self._rules)
            finally:
                opened.close()

        def choose(manifest: SnapshotManifest) -> None:
            if difference := differing(manifest.rules, self._rules):
                raise SnapshotError("foreign", difference)

        if restore(path, place, snapshots, check, figures, choose) is not None:
            return open_standby(self._store(path), place, self._rules)
        reached = figures.refused["unreachable"] == unreachable
        if not (anew and reached and place.start == 0):
            raise SnapshotError(
                "missing",
                f"no snapshot of partition {place.partition} can be used"
                + (f", and its log begins at {place.start}" if place.start else "")
                + f"; see that the stream worker writes them to {self._settings.snapshots_url} "
                "(state.snapshot_url), with the release and the settings of this follower",
            )
        store = self._store(path)
        begin_standby(store, place, self._rules)
        figures.from_log += 1
        return open_standby(store, place, self._rules)

    def _snapshots(self, number: int) -> SnapshotStore:
        return SnapshotStore(self._settings.snapshots_url, self._topic, number)

    def _path(self, number: int) -> Path:
        return self._settings.state_dir / f"{self._topic}-{number}"

    def _store(self, path: Path) -> RocksStore:
        return RocksStore(path, self._cache, self._settings.state.write_buffer_mb)
