"""The worker's metrics for Prometheus: counted once per fetch, or read when scraped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from everfresh.adapters.observe.metrics import COUNTS, Metrics
from everfresh.contracts.ports import Clock
from everfresh.streaming.join.join import JOIN_COUNTS
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
        self._applied = counter("applied_events", "Events accepted and put into users' state.")
        self._duplicates = counter(
            "duplicate_records", "Records skipped because they had been applied before."
        )
        self._late = counter(
            "late_records", "Records that came after the window of their append time was closed."
        )
        self._dead_letters = counter(
            "dead_letters", "Records that were not accepted, by reason.", ["reason"]
        )
        self._misplaced = counter(
            "misplaced_records",
            "Records that stand in another partition than Kafka's murmur2 puts their key in.",
        )
        self._joins = counter(
            "joins",
            "What the join did: exposures read, outcomes written, feedback by end.",
            ["result"],
        )
        for result in JOIN_COUNTS:
            self._joins.labels(result)
        self._windows = counter("closed_windows", "Slices of training windows closed and sent.")
        self._batch = histogram("batch_records", "Records applied in one batch.", COUNTS)
        self._fold = histogram(
            "fold_seconds", "Time to apply one batch and write it to disk, in seconds."
        )
        self.write = histogram("write_seconds", "Time of one durable write to disk, in seconds.")
        self.lag = float("nan")
        self.door.reading(
            "lag_records",
            "Records of the owned partitions that are not applied yet; NaN until it is known.",
            lambda: self.lag,
        )

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
        for result, number in batch.joins.items():
            self._joins.labels(result).inc(number)

    def watch(
        self,
        owned: Mapping[int, OwnedPartition],
        restores: RestoreFigures,
        snapshots: SnapshotFigures,
        clock: Clock,
    ) -> None:
        """Read these when scraped; they go on changing meanwhile."""
        read = self.door.reading
        read("partitions", "Partitions of the events topic owned here.", lambda: len(owned))
        read(
            "outbox_batches",
            "Batches of slices, dead letters and outcomes on disk that wait to be sent.",
            lambda: _waiting(owned),
        )
        read(
            "outbox_bytes",
            "Size of what waits on disk to be sent, in bytes.",
            lambda: _waiting_bytes(owned),
        )
        read("restore_left_records", restore_left.__doc__ or "", lambda: restore_left(owned))
        read(
            "restore_left_bytes",
            "Part of a snapshot that is still to be read, in bytes.",
            lambda: restores.bytes_left,
        )
        read("snapshot_age_seconds", _age_s.__doc__ or "", lambda: _age_s(snapshots, clock()))
        read("snapshot_bytes", "Size of the newest snapshots, in bytes.", lambda: _bytes(snapshots))

        def count(name: str, about: str, value: Callable[[], float]) -> None:
            read(name, about, value, grows=True)

        taken = snapshots
        count("snapshots", "Snapshots of the state written.", lambda: taken.taken)
        count("snapshots_failed", "Snapshots that could not be written.", lambda: taken.failed)
        count(
            "snapshot_uploaded_bytes",
            "Size of the files that snapshots stored, in bytes.",
            lambda: taken.uploaded_bytes,
        )
        count(
            "snapshots_refused",
            "Snapshots that a restore could not use.",
            restores.refused.total,
        )
        count(
            "restored_from_snapshot",
            "Partitions whose state came from a snapshot.",
            lambda: restores.from_snapshot,
        )
        count(
            "restored_from_log",
            "Partitions whose state was made from the log alone.",
            lambda: restores.from_log,
        )
        count(
            "truncated_records",
            "Records that retention had removed before a state was made from the log.",
            lambda: restores.truncated,
        )


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
    """Age of the newest snapshot in seconds, where it is oldest; NaN before the first."""
    newest = list(snapshots.newest_ms.values())
    return (now_ms - min(newest)) / 1000 if newest else float("nan")
