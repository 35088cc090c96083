"""One partition, owned: store, outbox, fold and join, held together by single write batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from everfresh.contracts.errors import StateError
from everfresh.contracts.sequence import META_KEY
from everfresh.streaming.fold.fold import Fold
from everfresh.streaming.fold.opening import open_fold
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.fold.windows import last_ended
from everfresh.streaming.join.join import Join
from everfresh.streaming.join.opening import drop_join, open_join
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.log.records import PlacedRecord, Record
from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.state.store import PartitionStore
from everfresh.streaming.state.write_batch import WriteBatch


class Partition:
    """The only writer of a partition's state; :func:`open_partition` builds it.

    ``outbox`` holds what waits for Kafka; its delivery reads and removes it.
    """

    def __init__(
        self, store: PartitionStore, outbox: Outbox, fold: Fold, join: Join | None
    ) -> None:
        """``join`` is ``None`` where exposures are not joined with feedback."""
        self.outbox = outbox
        self._store = store
        self._fold = fold
        self._join = join
        self._unwritten: StateError | None = None

    @property
    def applied(self) -> int:
        """The offset after the last record that the state contains."""
        return self._fold.applied

    def apply(self, records: Iterable[Record]) -> WriteBatch:
        """Fold records in log order and make state, offset and outbox durable as one (law 2)."""
        todo = list(records)
        batch = self._fold.fold(todo)
        if batch and self._join is not None:
            self._join.add_feedback(todo, self.applied, batch)
        return self._commit(batch)

    @property
    def next_exposure(self) -> int:
        """The offset after the last exposure that was taken in; only where there is a join."""
        assert self._join is not None
        return self._join.head.exposures

    def add_exposures(self, records: Sequence[PlacedRecord]) -> WriteBatch:
        """Take exposures in; only where there is a join."""
        assert self._join is not None
        # Not synced: what a power cut takes is read again from the offset it leaves.
        return self._commit(self._join.add_exposures(records), sync=False)

    def advance_exposures(self, now_ms: int) -> None:
        """All exposures that were appended before ``now_ms``, UTC, have been taken in."""
        assert self._join is not None
        self._join.advance(0, now_ms)

    def write_outcomes(self) -> WriteBatch | None:
        """Turn some requests whose horizon has passed into outcomes; ``None`` if none has."""
        batch = None if self._join is None else self._join.write_outcomes()
        # Not synced: it follows from what is stored, and is made again alike.
        return None if batch is None else self._commit(batch, sync=False)

    def overdue_label(self, now_ms: int, grace_ms: int) -> int | None:
        """The label that an idle partition should have closed by now, ``None`` if it has."""
        head = self._fold.head
        label = last_ended(now_ms, head.period_ms, grace_ms)
        return label if label > head.closed and label >= head.label else None

    def close_until(self, label: int) -> WriteBatch:
        """Close the open slice and ``label``; everything in the log must have been applied."""
        batch = self._fold.close_until(label)
        if batch and self._join is not None:
            self._join.advance((label + 1) * self._fold.head.period_ms, 0)
            self._join.put_head(batch)
        return self._commit(batch)

    @property
    def has_parts_to_make(self) -> bool:
        """Whether a closed slice still has parts to be made by :meth:`make_part`."""
        return self._fold.sealing.busy

    def make_part(self) -> WriteBatch:
        """Make one part of a closed slice, some milliseconds of work; in no hurry."""
        # Not synced: it says nothing new of the log, and lost steps are made again alike.
        return self._commit(self._fold.make_part(), sync=False)

    def close(self) -> None:
        """Release the store. What the outbox still holds stays in it for the next owner."""
        self._store.close()

    def _commit(self, batch: WriteBatch, sync: bool = True) -> WriteBatch:
        if self._unwritten is not None:
            raise self._unwritten  # the fold has gone on without what was not written
        if batch:
            try:
                self._store.write(batch.puts, batch.deletes, sync=sync)
            except StateError as error:
                self._unwritten = error
                raise
            self.outbox.written(batch)
        return batch


def open_partition(
    store: PartitionStore, place: LogPlace, rules: FoldRules, exposures: LogPlace | None = None
) -> Partition:
    """Resume from the state, or begin at the start of the log where there is none.

    ``exposures`` is the partition of the same number that feedback is joined with; without one,
    nothing is joined, as with a horizon of 0. Errors are those of
    :func:`everfresh.streaming.fold.opening.open_fold` and
    :func:`everfresh.streaming.join.opening.open_join`.
    """
    anew = store.get(META_KEY) is None
    fold, outbox = open_fold(store, place, rules)
    join = None
    if not rules.horizon_ms:
        drop_join(store)
    elif exposures is not None:
        join = open_join(store, outbox, fold.applied, anew, exposures, rules.horizon_ms)
    return Partition(store, outbox, fold, join)
