"""The worker's metrics for Prometheus: counted once per fetch, or read when scraped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from everfresh.adapters.observe.metrics import COUNTS, Metrics
from everfresh.contracts.ports import Clock
from everfresh.streaming.owned_partition import OwnedPartition
from everfresh.streaming.state.restore import RestoreFigures
from everfresh.streaming.state.snapshots import SnapshotFigures
from everfresh.streaming.state.write_batch import WriteBatch

KIND = "worker"


class WorkerMetrics:
    """Holds the metrics endpoint (``door``), which the worker opens and closes.

    ``lag`` is NaN until the brokers have said where the log ends.
    """

    def __init__(self) -> None:
        self.door = Metrics(KIND)
        counter, histogram = self.door.counter, self.door.histogram
        self._applied = counter("applied_events", "Events accepted and folded into the state.")
        self._duplicates = counter("duplicate_records", "Records that were applied before.")
        self._late = counter("late_records", "Records whose label had been closed before.")
        self._dead_letters = counter("dead_letters", "Records not accepted, by reason.", ["reason"])
        about = "Records in another partition than murmur2 puts their key in."
        self._misplaced = counter("misplaced_records", about)
        self._joins = counter("joins", "Exposures, their outcomes and feedback, by kind.", ["kind"])
        self._windows = counter("closed_windows", "Slices of windows closed.")
        self._batch = histogram("batch_records", "Records folded at once.", COUNTS)
        self._fold = histogram("fold_seconds", "Time to fold and write one batch.")
        self.write = histogram("write_seconds", "Time of one durable write to RocksDB.")
        self.lag = float("nan")
        self.door.reading("lag_records", "Records not applied yet.", lambda: self.lag)

    def folded(self, records: int, batch: WriteBatch, seconds: float) -> None:
        """Count one fetch, which was folded and written in so many ``seconds``."""
        self._batch.observe(records)
        self._fold.observe(seconds)
        self._applied.inc(batch.accepted)
        self._duplicates.inc(batch.duplicates)
        self._late.inc(batch.late)
        self.note(batch)

    def note(self, batch: WriteBatch) -> None:
        """Count what every step may do: closed windows, dead letters, joins."""
        self._windows.inc(batch.closed)
        self._misplaced.inc(batch.misplaced)
        for reason, number in batch.rejected.items():
            self._dead_letters.labels(reason).inc(number)
        for kind, number in batch.joins.items():
            self._joins.labels(kind).inc(number)

    def watch(
        self,
        owned: Mapping[int, OwnedPartition],
        restores: RestoreFigures,
        snapshots: SnapshotFigures,
        clock: Clock,
    ) -> None:
        """Read these when scraped; they go on changing meanwhile."""
        read = self.door.reading
        read("partitions", "Partitions owned.", lambda: len(owned))
        read("outbox_parcels", "Outbox batches waiting for delivery.", lambda: _waiting(owned))
        read("outbox_bytes", "Bytes that those take.", lambda: _waiting_bytes(owned))
        read("restore_left_records", restore_left.__doc__ or "", lambda: restore_left(owned))
        read("restore_left_bytes", "Still to read of a snapshot.", lambda: restores.bytes_left)
        read("snapshot_age_seconds", _age_s.__doc__ or "", lambda: _age_s(snapshots, clock()))
        read("snapshot_bytes", "Size of the newest snapshots.", lambda: _bytes(snapshots))

        def count(name: str, about: str, value: Callable[[], float]) -> None:
            read(name, about, value, grows=True)

        taken = snapshots
        count("snapshots", "Snapshots taken.", lambda: taken.taken)
        count("snapshots_failed", "Snapshots that could not be taken.", lambda: taken.failed)
        count("snapshot_uploaded_bytes", "Uploaded by snapshots.", lambda: taken.uploaded_bytes)
        count("snapshots_refused", "Snapshots that could not be used.", restores.refused.total)
        count("restored_from_snapshot", "Lost partitions restored.", lambda: restores.from_snapshot)
        count("restored_from_log", "Partitions begun with the log.", lambda: restores.from_log)
        count("truncated_records", "Cut before such a beginning.", lambda: restores.truncated)


def restore_left(owned: Mapping[int, OwnedPartition]) -> int:
    """Records that restored partitions still lack of the log as it was when they began."""
    return sum(each.restore_left for each in list(owned.values()))


def _waiting(owned: Mapping[int, OwnedPartition]) -> int:
    return sum(each.partition.outbox.waiting for each in list(owned.values()))


def _waiting_bytes(owned: Mapping[int, OwnedPartition]) -> int:
    return sum(each.partition.outbox.waiting_bytes for each in list(owned.values()))


def _bytes(snapshots: SnapshotFigures) -> int:
    return sum(list(snapshots.bytes.values()))


def _age_s(snapshots: SnapshotFigures, now_ms: int) -> float:
    """Age of the newest snapshot, of the partition where it is oldest; NaN before the first."""
    newest = list(snapshots.newest_ms.values())
    return (now_ms - min(newest)) / 1000 if newest else float("nan")
