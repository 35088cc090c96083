"""The fold: records in; segments, offset, dead letters and closed slices out.

Law 1, one user, one partition: a user's state is the fold of that user's accepted events in log
order, and nothing else.

Law 2, applied once: one :class:`WriteBatch` holds the state and the offset it reaches;
a record below the applied offset is counted as a duplicate and skipped.

Per fetch one segment is written and no user's value; those follow when the stretch is sealed
(:mod:`everfresh.streaming.fold.sealing`). Pure but for the ``read`` function, which looks up values
as of the last batch that was written, and the outbox, which numbers its batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.partitioning import WRONG_PARTITION
from everfresh.contracts.segment import Segment
from everfresh.contracts.sequence import PartitionMeta
from everfresh.contracts.window import CUT_FORMAT as SLICE_CUT_FORMAT
from everfresh.contracts.window import FORMAT as SLICE_FORMAT
from everfresh.contracts.window import SliceClosed
from everfresh.streaming.fold.rows import NO_LABEL, Closing, SliceHead, encode
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.fold.sealing import Sealing
from everfresh.streaming.fold.sequences import SequenceFold
from everfresh.streaming.fold.windows import is_full_of_history, label_of, room_of_history
from everfresh.streaming.log.records import Record
from everfresh.streaming.outbox.dead_letters import dead_letter_at
from everfresh.streaming.outbox.forwarding import forwarded
from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.outbox.rows import OutboxRow
from everfresh.streaming.state.key_layout import CLOSING_KEY, SLICE_HEAD_KEY
from everfresh.streaming.state.store import ReadMany
from everfresh.streaming.state.write_batch import WriteBatch


class Fold(SequenceFold):
    """The fold of one partition, with the open stretch in memory; it fills ``outbox``."""

    def __init__(
        self,
        meta: PartitionMeta,
        head: SliceHead,
        rules: FoldRules,
        read: ReadMany,
        outbox: Outbox,
    ) -> None:
        super().__init__(meta, rules, read)
        self.head = head
        self.sealing = Sealing(meta, rules, self._values, outbox)
        self._outbox = outbox

    def restore(
        self,
        closing: Closing | None,
        segments: list[Segment],
        recent: Iterable[tuple[bytes, bytes]],
    ) -> None:
        """Take up what the state holds besides ``meta`` and ``head``."""
        self._restore_ids(recent)
        upto = -1 if closing is None else closing.upto
        self.segments = [segment for segment in segments if segment.end > upto]
        if closing is not None:
            sealed = [segment for segment in segments if segment.end <= upto]
            self.sealing.resume(closing, sealed)

    def fold(self, records: Iterable[Record]) -> WriteBatch:
        """Take in records of this partition, in log order."""
        batch = self._batch = WriteBatch()
        todo = self._unapplied(records, batch)
        if not todo:
            return batch
        at = 0
        turned_away: list[OutboxRow] = []
        while at < len(todo):
            self._open_slice_for(todo[at], batch)
            at = self._fold_segment(todo, at, batch, turned_away)
            if is_full_of_history(self.head):
                label, cut = self.head.label, self.head.cut + 1
                self._close(batch)
                self.head.closed, self.head.label, self.head.cut = label - 1, label, cut
            elif self.head.fresh >= self.head.stretch_events:
                self._seal(batch, None)
        self._merge_segments(batch)
        self._outbox.add_batch(turned_away, batch)
        self._put_description(batch)
        return batch

    def close_until(self, label: int) -> WriteBatch:
        """Close what is overdue in an idle partition: the open slice, then ``label`` itself, empty.

        The caller has applied all that the log holds, and the period of ``label`` is over.
        """
        batch = self._batch = WriteBatch()
        if self.head.label != NO_LABEL and self.head.label <= label:
            self._close(batch)
        if self.head.label == NO_LABEL and self.head.closed < label:
            self.head.label = label
            self._close(batch)
        if batch:
            self._put_description(batch)
        return batch

    def make_part(self) -> WriteBatch:
        """Make one part of a closed slice; nothing where none is left."""
        batch = self._batch = WriteBatch()
        if self.sealing.busy and self.sealing.step(batch):
            self._put_description(batch)
        return batch

    def _open_slice_for(self, record: Record, batch: WriteBatch) -> None:
        """Close the open slice where ``record`` has a later label."""
        label = label_of(record.timestamp, self.head)
        if label != self.head.label:
            if self.head.label != NO_LABEL:
                self._close(batch)
            self.head.label = label

    def _fold_segment(
        self, records: list[Record], begin: int, batch: WriteBatch, turned_away: list[OutboxRow]
    ) -> int:
        """Fold ``records`` from ``begin`` on into one segment, as far as it goes.

        It ends where the stretch is full, history may be cut or a record has a later label; returns
        where.
        """
        head = self.head
        edge = (head.label + 1) * head.period_ms
        room = head.stretch_events - head.fresh
        room = min(room, room_of_history(head) or room)
        first = self.applied
        result = self._take(records, begin, edge, room, batch)
        batch.folded.append(((head.label, head.cut), first, self.applied))
        batch.late += _late(records[begin : begin + result.count], head)
        turned_away += [self._turn_away(record, cause, batch) for record, cause in result.rejects]
        batch.feedback += result.feedback
        head.events += result.events
        head.fresh += result.events
        head.history += result.history
        head.rejected += len(result.rejects)
        return begin + result.count

    def _turn_away(self, record: Record, cause: EventRejected, batch: WriteBatch) -> OutboxRow:
        """What becomes of a record that is not accepted here."""
        batch.turned_away[record.offset] = cause.reason
        if cause.reason == WRONG_PARTITION:
            batch.misplaced += 1
            if self._rules.forward_misplaced and record.offset >= self.meta.forwards_from:
                right = self._placement.right_partition(record.key or b"")
                row = forwarded(record, right, self._rules.max_bytes)
                if row is not None:
                    return row
        batch.rejected[cause.reason] += 1
        return dead_letter_at(self.meta.topic, self.meta.partition, record, cause)

    def _close(self, batch: WriteBatch) -> None:
        """Close the open slice here and open the next one, still without a label."""
        head, end = self.head, self.applied
        closed = SliceClosed(
            SLICE_CUT_FORMAT if head.cut else SLICE_FORMAT,
            self.meta.partition,
            head.label,
            head.start,
            end,
            0,
            head.events,
            head.rejected,
            "",
            head.cut,
        )
        batch.ended.append(closed)
        self._seal(batch, closed)
        rules = self._rules
        self.head = SliceHead(
            head.format,
            head.period_ms,
            rules.max_targets,
            rules.stretch_events,
            head.label,
            NO_LABEL,
            end,
            history_events=rules.history_events,
        )

    def _seal(self, batch: WriteBatch, closed: SliceClosed | None) -> None:
        """End the open stretch, and the slice where ``closed`` is given."""
        while self.sealing.busy:  # it fell behind the log
            self.sealing.step(batch)
        closing = self.sealing.closing
        if closing is None:
            number = self._outbox.begin_batch()
            closing = Closing(self.head.label, self.head.max_targets, number, cut=self.head.cut)
        closing.closed = closed
        self.sealing.seal(closing, self.segments, self.applied)
        batch.puts[CLOSING_KEY] = encode(closing)
        if not self.segments:
            self.sealing.step(batch)
        self.segments = []
        self.head.fresh = 0

    def _put_description(self, batch: WriteBatch) -> None:
        self._put_meta(self.sealing.segments, batch)
        batch.puts[SLICE_HEAD_KEY] = encode(self.head)


def _late(records: Sequence[Record], head: SliceHead) -> int:
    """How many of them come after their own label was closed. Append time does not go back in a
    partition, so they stand in front."""
    floor = (head.closed + 1) * head.period_ms
    return next(
        (at for at, record in enumerate(records) if record.timestamp >= floor), len(records)
    )
