"""One partition, owned: its store, its fold and its outbox, held together by single write batches.

Opening compares the state with the log and refuses to guess: see :func:`open_partition`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from contracts.errors import LogMismatch, StateFormatError
from contracts.segment import Segment, decode_runs, segment_key, split
from contracts.sequence import FORMAT, META_KEY, PartitionMeta
from streaming.changes import Changes
from streaming.fold import Fold
from streaming.identity import LogPlace, require_partitions
from streaming.join import Join
from streaming.join_opening import drop_join, open_join
from streaming.layout import (
    CLOSING_KEY,
    HEAD_FORMAT,
    HEAD_KEY,
    NO_LABEL,
    OUTBOX_PREFIX,
    SliceHead,
    decode_closing,
    decode_head,
    encode,
    parcel_of,
    parcel_prefix,
)
from streaming.letters import PlacedRecord, Record
from streaming.parcel import Parcel
from streaming.recent import RECENT_PREFIX
from streaming.rules import FoldRules
from streaming.store import PartitionStore
from streaming.windows import last_ended


class Partition:
    """The only writer of a partition's state. Build it with :func:`open_partition`."""

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
        if changes:
            self._store.write(changes.puts, changes.deletes, sync=sync)
            self._parcels.extend(changes.parcels)
            self._held.update(_outbox_bytes(changes.puts.items()))
        return changes


def open_partition(
    store: PartitionStore, place: LogPlace, rules: FoldRules, exposures: LogPlace | None = None
) -> Partition:
    """Resume from the state, or begin at the start of the log where there is none.

    ``exposures`` is the partition of the same number that feedback is joined with; without one,
    nothing is joined, as with a horizon of 0.

    :class:`StateFormatError` where the state was written by another format version, action list
    or window length; :class:`LogMismatch` where it was folded from another log, is ahead of the
    log, or the log no longer holds what comes next.
    """
    raw = store.get(META_KEY)
    if raw is None:
        meta, head = _fresh(place, rules)
        _write_start(store, meta, head)
    else:
        meta, head = _decode(raw, store.get(HEAD_KEY))
        _check_log(meta, place)
        if head.period_ms != rules.period_ms:
            raise StateFormatError(
                f"the state of partition {place.partition} is cut into windows of "
                f"{head.period_ms} ms, windows.seconds now says {rules.period_ms} ms; set it back, "
                "or use another home to start anew"
            )
        meta = msgspec.structs.replace(
            meta,
            actions=_extended(meta.actions, rules.actions),
            partitions=place.partitions,
        )
    raw_closing = store.get(CLOSING_KEY)
    closing = None if raw_closing is None else decode_closing(raw_closing)
    held = _outbox_bytes(store.scan(OUTBOX_PREFIX))
    parcels = sorted(held)
    number = parcels[-1] + 1 if parcels else 0
    if closing is not None:
        number = max(number, closing.parcel + 1)
        parcels = [parcel for parcel in parcels if parcel != closing.parcel]
    fold = Fold(meta, head, rules, store.get_many, number)
    values = store.get_many([segment_key(name) for name in meta.segments])
    named = zip(meta.segments, values, strict=True)
    segments = [_segment(name, value or b"") for name, value in named]
    if not rules.remember_ids:
        _forget(store)
    fold.restore(closing, segments, store.scan(RECENT_PREFIX))
    join = None
    if not rules.horizon_ms:
        drop_join(store)
    elif exposures is not None:
        join = open_join(store, meta.applied, raw is None, exposures, rules.horizon_ms)
    return Partition(store, fold, join, parcels, held)


def _outbox_bytes(pairs: Iterable[tuple[bytes, bytes]]) -> Counter[int]:
    """The bytes of each parcel that has rows among ``pairs``."""
    held: Counter[int] = Counter()
    for key, row in pairs:
        if key.startswith(OUTBOX_PREFIX):
            held[parcel_of(key)] += len(row)
    return held


def _forget(store: PartitionStore) -> None:
    if keys := [key for key, _ in store.scan(RECENT_PREFIX)]:
        store.write({}, keys)


def _segment(name: tuple[int, int], raw: bytes) -> Segment:
    runs = decode_runs(raw)
    return Segment(*name, sum(len(split(run)[1]) for run in runs.values()), runs)


def _fresh(place: LogPlace, rules: FoldRules) -> tuple[PartitionMeta, SliceHead]:
    meta = PartitionMeta(
        FORMAT,
        place.cluster,
        place.topic,
        place.topic_id,
        place.partition,
        place.start,
        rules.actions,
        place.partitions,
    )
    head = SliceHead(
        HEAD_FORMAT,
        rules.period_ms,
        rules.max_targets,
        rules.stretch_events,
        NO_LABEL,
        NO_LABEL,
        place.start,
    )
    return meta, head


def _write_start(store: PartitionStore, meta: PartitionMeta, head: SliceHead) -> None:
    store.write({META_KEY: msgspec.msgpack.encode(meta), HEAD_KEY: encode(head)})


def _decode(raw: bytes, raw_head: bytes | None) -> tuple[PartitionMeta, SliceHead]:
    try:
        meta = msgspec.msgpack.decode(raw, type=PartitionMeta)
        head = decode_head(raw_head or b"")
    except msgspec.DecodeError as error:
        raise StateFormatError(
            f"the state is not of a format this version reads ({error}); use another home, or "
            "delete the state directory to rebuild it from the log"
        ) from None
    for name, expected, found in (
        ("state", FORMAT, meta.format),
        ("slice", HEAD_FORMAT, head.format),
    ):
        if expected != found:
            raise StateFormatError(
                f"{name} format {expected} expected, found {found}; use another home, or delete "
                "the state directory to rebuild it from the log"
            )
    return meta, head


def _check_log(meta: PartitionMeta, place: LogPlace) -> None:
    advice = "use another home, or delete the state directory to rebuild it from the log"
    for name in ("cluster", "topic", "topic_id", "partition"):
        was, now = getattr(meta, name), getattr(place, name)
        if was != now:
            raise LogMismatch(
                f"the state of {meta.topic}-{meta.partition} was folded from {name} {was}, this is "
                f"{name} {now}; {advice}"
            )
    require_partitions(meta.topic, meta.partitions or place.partitions, place.partitions)
    if meta.applied > place.end:
        raise LogMismatch(
            f"the state of {meta.topic}-{meta.partition} reaches offset {meta.applied}, the log "
            f"ends at {place.end}: the log was cut or recreated; {advice}"
        )
    if meta.applied < place.start:
        raise LogMismatch(
            f"the state of {meta.topic}-{meta.partition} reaches offset {meta.applied}, the log "
            f"begins at {place.start}: retention removed {place.start - meta.applied} records "
            f"that were never applied; {advice}"
        )


def _extended(stored: list[str], current: list[str]) -> list[str]:
    if current[: len(stored)] != stored:
        raise StateFormatError(
            f"the state knows the actions {stored}, events.actions says {current}; new actions go "
            "to the end, others stay where they are; or use another home"
        )
    return current
