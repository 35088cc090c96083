"""One partition, owned: store, fold and outbox, held together by single write batches."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from everfresh.contracts.errors import StateError
from everfresh.streaming.fold.dead_letters import PlacedRecord, Record
from everfresh.streaming.fold.fold import Fold
from everfresh.streaming.fold.windows import last_ended
from everfresh.streaming.fold.write_batch import Changes
from everfresh.streaming.join.join import Join
from everfresh.streaming.outbox.batch import Parcel
from everfresh.streaming.state.key_layout import OUTBOX_PREFIX, parcel_of, parcel_prefix
from everfresh.streaming.state.store import PartitionStore


class Partition:
    """The only writer of a partition's state; ``open_partition`` builds it."""

    def __init__(
        self,
        store: PartitionStore,
        fold: Fold,
        join: Join | None,
        parcels: Iterable[int],
        held: Mapping[int, int],
    ) -> None:
        """``join`` is ``None`` where exposures are not joined with feedback.

        ``held`` says how many bytes the outbox holds of each parcel, also of one in the making;
        ``parcels`` are those to be delivered.
        """
        self._join = join
        self._store = store
        self._fold = fold
        self._parcels = deque(parcels)
        self._held = Counter(held)
        self._unwritten: StateError | None = None

    @property
    def applied(self) -> int:
        """The offset after the last record that the state contains."""
        return self._fold.applied

    @property
    def waiting(self) -> int:
        """How many parcels are still to be delivered."""
        return len(self._parcels)

    @property
    def waiting_bytes(self) -> int:
        """How much those take. A slice in the making is none of them."""
        return sum(self._held[number] for number in self._parcels)

    def apply(self, records: Iterable[Record]) -> Changes:
        """Fold records in log order and make state, offset and outbox durable as one (law 2)."""
        todo = list(records)
        changes = self._fold.fold(todo)
        if changes and self._join is not None:
            self._join.hear(todo, self.applied, changes)
        return self._commit(changes)

    @property
    def exposed(self) -> int:
        """The offset after the last exposure that has been taken in; only where there is a join."""
        assert self._join is not None
        return self._join.head.exposures

    def expose(self, records: Sequence[PlacedRecord]) -> Changes:
        """Take exposures in; only where there is a join."""
        assert self._join is not None
        # Not synced: what a power cut takes is read again from the offset it leaves.
        return self._commit(self._posted(self._join.expose(records)), sync=False)

    def exposures_reached(self, now_ms: int) -> None:
        """All exposures that were appended before ``now_ms``, UTC, have been taken in."""
        assert self._join is not None
        self._join.reached(0, now_ms)

    def conclude(self) -> Changes | None:
        """Turn some requests whose horizon has passed into outcomes; ``None`` if none has."""
        changes = None if self._join is None else self._join.settle()
        # Not synced: it follows from what is stored, and is made again alike.
        return None if changes is None else self._commit(self._posted(changes), sync=False)

    def owes(self, now_ms: int, grace_ms: int) -> int | None:
        """The label that an idle partition should have closed by now, ``None`` if it has."""
        head = self._fold.head
        label = last_ended(now_ms, head.period_ms, grace_ms)
        return label if label > head.closed and label >= head.label else None

    def close_until(self, label: int) -> Changes:
        """Close the open slice and ``label``; everything in the log must have been applied."""
        changes = self._fold.close_until(label)
        if changes and self._join is not None:
            self._join.reached((label + 1) * self._fold.head.period_ms, 0)
            self._join.mark(changes)
        return self._commit(changes)

    @property
    def settling(self) -> bool:
        """Whether a closed slice still has parts to be made by :meth:`settle`."""
        return self._fold.sealing.busy

    def settle(self) -> Changes:
        """Make one part of a closed slice, some milliseconds of work; in no hurry."""
        # Not synced: it says nothing new of the log, and lost steps are made again alike.
        return self._commit(self._fold.settle(), sync=False)

    def parcel(self) -> Parcel | None:
        """The oldest undelivered parcel, ``None`` where there is none."""
        return Parcel(self._store, self._parcels[0]) if self._parcels else None

    def delivered(self) -> None:
        """Forget the oldest parcel as a whole: a run on the windows topic starts at part 0."""
        number = self._parcels[0]
        prefix = parcel_prefix(number)
        # Not synced: should this be lost in a crash, the parcel is delivered once more.
        self._store.write({}, [key for key, _ in self._store.scan(prefix)], sync=False)
        self._parcels.popleft()
        del self._held[number]

    def close(self) -> None:
        """Release the store. Undelivered parcels stay in it for the next owner."""
        self._store.close()

    def _posted(self, changes: Changes) -> Changes:
        self._fold.post(changes)
        return changes

    def _commit(self, changes: Changes, sync: bool = True) -> Changes:
        if self._unwritten is not None:
            raise self._unwritten  # the fold has gone on without what was not written
        if changes:
            try:
                self._store.write(changes.puts, changes.deletes, sync=sync)
            except StateError as error:
                self._unwritten = error
                raise
            self._parcels.extend(changes.parcels)
            self._held.update(outbox_bytes(changes.puts.items()))
        return changes


def outbox_bytes(pairs: Iterable[tuple[bytes, bytes]]) -> Counter[int]:
    """The bytes of each parcel that has rows among ``pairs``."""
    held: Counter[int] = Counter()
    for key, row in pairs:
        if key.startswith(OUTBOX_PREFIX):
            held[parcel_of(key)] += len(row)
    return held
