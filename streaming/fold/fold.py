"""The fold: records in, segments, offset, dead letters and closed slices out.

Law 1, one user, one partition: a user's state is the fold of that user's accepted events in log
order, and nothing else.

Law 2, applied once: :class:`Changes` holds state and the offset it reaches, for one write batch;
a record below the applied offset is counted as a duplicate and skipped.

Per fetch one segment is written and no user's value; those follow when the stretch is sealed
(:mod:`everfresh.streaming.fold.sealing`). Pure but for the ``read`` function, which looks up values
as of the last written changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from everfresh.contracts.segment import Segment, encode_runs, merged, surplus
from everfresh.contracts.sequence import META_KEY, PartitionMeta
from everfresh.contracts.window import FORMAT as SLICE_FORMAT
from everfresh.contracts.window import SliceClosed
from everfresh.streaming.fold.dead_letters import Record, letter_from
from everfresh.streaming.fold.deduplication import RecentIds
from everfresh.streaming.fold.intake import Intake
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.fold.sealing import Sealing
from everfresh.streaming.fold.windows import label_of
from everfresh.streaming.fold.write_batch import Changes
from everfresh.streaming.state.key_layout import (
    CLOSING_KEY,
    HEAD_KEY,
    NO_LABEL,
    Closing,
    SliceHead,
    encode,
    parcel_key,
)

Read = Callable[[Sequence[bytes]], list[bytes | None]]
_META = msgspec.msgpack.Encoder()


class Fold:
    """The fold of one partition, with the open stretch in memory.

    What it remembers runs ahead of the store until the returned changes are written; where the
    write fails, drop this object and open the partition again.
    """

    def __init__(
        self, meta: PartitionMeta, head: SliceHead, rules: FoldRules, read: Read, parcel: int
    ) -> None:
        """``parcel`` is the number of the next parcel in the outbox."""
        self.meta = meta
        self.head = head
        self.applied = meta.applied
        self.segments: list[Segment] = []
        self.sealing = Sealing(meta.partition, meta.actions, rules, self._values)
        self._rules = rules
        self._read = read
        self._parcel = parcel
        self._intake = Intake(meta.actions, rules.max_bytes, rules.ahead_ms)
        self._recent: RecentIds | None = None
        if rules.remember_ids:
            self._recent = RecentIds(rules.remember_ids, self._values)
        self._changes = Changes()

    def restore(
        self,
        closing: Closing | None,
        segments: list[Segment],
        recent: Iterable[tuple[bytes, bytes]],
    ) -> None:
        """Take up what the state holds besides ``meta`` and ``head``."""
        if self._recent is not None:
            self._recent.restore(recent)
        upto = -1 if closing is None else closing.upto
        self.segments = [segment for segment in segments if segment.end > upto]
        if closing is not None:
            self.sealing.resume(closing, [one for one in segments if one.end <= upto])

    def fold(self, records: Iterable[Record]) -> Changes:
        """Take in records of this partition, in log order."""
        changes = self._changes = Changes()
        todo = list(records)
        while changes.duplicates < len(todo) and todo[changes.duplicates].offset < self.applied:
            changes.duplicates += 1
        at = changes.duplicates
        if at == len(todo):
            return changes
        while at < len(todo):
            self._enter(todo[at], changes)
            at = self._take(todo, at, changes)
            if self.head.fresh >= self.head.stretch_events:
                self._seal(changes, None)
        self._tidy(changes)
        self.post(changes)
        self._finish(changes)
        return changes

    def close_until(self, label: int) -> Changes:
        """Close what an idle partition owes: the open slice, then ``label`` itself, empty.

        The caller has applied all that the log holds, and the period of ``label`` is over.
        """
        changes = self._changes = Changes()
        if self.head.label != NO_LABEL and self.head.label <= label:
            self._close(changes)
        if self.head.label == NO_LABEL and self.head.closed < label:
            self.head.label = label
            self._close(changes)
        if changes:
            self._finish(changes)
        return changes

    def settle(self) -> Changes:
        """One step of making the parts of a closed slice; nothing where none is left."""
        changes = self._changes = Changes()
        if self.sealing.busy and self.sealing.step(changes):
            self._finish(changes)
        return changes

    def _enter(self, record: Record, changes: Changes) -> None:
        """Close the open slice where ``record`` has a later label."""
        label = label_of(record.timestamp, self.head)
        if label != self.head.label:
            if self.head.label != NO_LABEL:
                self._close(changes)
            self.head.label = label

    def _take(self, records: list[Record], begin: int, changes: Changes) -> int:
        """Fold ``records`` from ``begin`` on into one segment, as far as it goes.

        It ends where the stretch is full or a record has a later label; returns where.
        """
        head = self.head
        first, edge = self.applied, (head.label + 1) * head.period_ms
        room = head.stretch_events - head.fresh
        if self._recent is not None:
            room = min(room, self._recent.room(changes))
        taken = self._intake.take(records[begin : begin + room], edge, self._recent)
        changes.late += _late(records[begin : begin + taken.count], head)
        self.applied = records[begin + taken.count - 1].offset + 1
        if taken.events:
            segment = Segment(first, self.applied, taken.events, taken.runs)
            changes.puts[segment.key] = encode_runs(segment)
            self.segments.append(segment)
            if self._recent is not None:
                self._recent.keep(taken.ids, first, changes)
        for record, cause in taken.rejects:
            changes.rejected[cause.reason] += 1
            letter = letter_from(self.meta.topic, self.meta.partition, record, cause)
            changes.rows.append(letter)
        changes.named += taken.named
        head.events += taken.events
        head.fresh += taken.events
        head.rejected += len(taken.rejects)
        changes.accepted += taken.events
        return begin + taken.count

    def _close(self, changes: Changes) -> None:
        """Close the open slice here and open the next one, still without a label."""
        head, end = self.head, self.applied
        closed = SliceClosed(
            SLICE_FORMAT,
            self.meta.partition,
            head.label,
            head.start,
            end,
            0,
            head.events,
            head.rejected,
            "",
        )
        self._seal(changes, closed)
        rules = self._rules
        self.head = SliceHead(
            head.format,
            head.period_ms,
            rules.max_targets,
            rules.stretch_events,
            head.label,
            NO_LABEL,
            end,
        )

    def _seal(self, changes: Changes, closed: SliceClosed | None) -> None:
        """End the open stretch, and the slice where ``closed`` is given."""
        while self.sealing.busy:  # it fell behind the log
            self.sealing.step(changes)
        closing = self.sealing.closing
        if closing is None:
            closing = Closing(self.head.label, self.head.max_targets, self._next_parcel())
        closing.closed = closed
        self.sealing.seal(closing, self.segments, self.applied)
        changes.puts[CLOSING_KEY] = encode(closing)
        if not self.segments:
            self.sealing.step(changes)
        self.segments = []
        self.head.fresh = 0

    def _tidy(self, changes: Changes) -> None:
        """Make many small segments one, so that readers look into few."""
        number = surplus([segment.events for segment in self.segments])
        if number:
            parts = self.segments[-number:]
            for part in parts:
                changes.drop(part.key)
            whole = merged(parts)
            changes.puts[whole.key] = encode_runs(whole)
            self.segments[-number:] = [whole]

    def _values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values as of this step: what it has changed so far, and what is stored."""
        puts = self._changes.puts
        stored = iter(self._read([key for key in keys if key not in puts]))
        return [puts[key] if key in puts else next(stored) for key in keys]

    def post(self, changes: Changes) -> None:
        """Put the rows into the outbox as one parcel: produced together, removed together."""
        if not changes.rows:
            return
        parcel = self._next_parcel()
        for number, row in enumerate(changes.rows):
            changes.puts[parcel_key(parcel, number)] = encode(row)
        changes.parcels.append(parcel)

    def _next_parcel(self) -> int:
        number, self._parcel = self._parcel, self._parcel + 1
        return number

    def _finish(self, changes: Changes) -> None:
        names = [segment.name for segment in (*self.sealing.segments, *self.segments)]
        self.meta = msgspec.structs.replace(self.meta, applied=self.applied, segments=names)
        changes.puts[META_KEY] = _META.encode(self.meta)
        changes.puts[HEAD_KEY] = encode(self.head)


def _late(records: Sequence[Record], head: SliceHead) -> int:
    """How many of them come after their own label was closed. Append time does not go back in a
    partition, so they stand in front."""
    floor = (head.closed + 1) * head.period_ms
    return next(
        (at for at, record in enumerate(records) if record.timestamp >= floor), len(records)
    )
