"""Records into segments: which events are accepted, and where they stand until they are settled.

The stream worker and its followers share this, so whoever holds a partition at offset n holds the
same of every user (law 1). What the worker adds is :mod:`everfresh.streaming.fold.fold`, what a
follower adds :mod:`everfresh.streaming.follower.standby`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from everfresh.contracts.segment import Segment, encode_runs, merged, surplus
from everfresh.contracts.sequence import META_KEY, PartitionMeta
from everfresh.streaming.fold.deduplication import RecentIds
from everfresh.streaming.fold.intake import Intake, IntakeResult
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.log.placement import Placement
from everfresh.streaming.log.records import Record
from everfresh.streaming.state.store import ReadMany
from everfresh.streaming.state.write_batch import WriteBatch

_META = msgspec.msgpack.Encoder()


class SequenceFold:
    """The open segments of one partition, in memory. Pure but for ``read``, which looks up values
    as of the last batch that was written.

    What it remembers runs ahead of the store until the returned batch is written; where the
    write fails, drop this object and open the partition again.
    """

    def __init__(self, meta: PartitionMeta, rules: FoldRules, read: ReadMany) -> None:
        self.meta = meta
        self.applied = meta.applied
        self.segments: list[Segment] = []
        self._rules = rules
        self._read = read
        self._placement = Placement(meta.partition, meta.partitions)
        self._intake = Intake(meta.actions, rules.max_bytes, rules.ahead_ms, self._placement)
        self._recent: RecentIds | None = None
        if rules.remember_ids:
            self._recent = RecentIds(rules.remember_ids, self._values)
        self._batch = WriteBatch()

    def _restore_ids(self, recent: Iterable[tuple[bytes, bytes]]) -> None:
        """Take up the ids that the state remembers."""
        if self._recent is not None:
            self._recent.restore(recent)

    def _unapplied(self, records: Iterable[Record], batch: WriteBatch) -> list[Record]:
        """Those at or above the applied offset; the others are counted (law 2)."""
        todo = list(records)
        at = 0
        while at < len(todo) and todo[at].offset < self.applied:
            at += 1
        batch.duplicates += at
        return todo[at:] if at else todo

    def _take(
        self, records: Sequence[Record], begin: int, before_ms: int, room: int, batch: WriteBatch
    ) -> IntakeResult:
        """Put ``records`` from ``begin`` on into one segment, at most ``room`` of them and up to
        the first one that was appended at or after ``before_ms``."""
        first = self.applied
        if self._recent is not None:
            room = min(room, self._recent.room(batch))
        result = self._intake.take(records[begin : begin + room], before_ms, self._recent)
        self.applied = records[begin + result.count - 1].offset + 1
        if result.events:
            segment = Segment(first, self.applied, result.events, result.runs)
            batch.puts[segment.key] = encode_runs(segment)
            self.segments.append(segment)
            if self._recent is not None:
                self._recent.put(result.ids, first, batch)
        batch.accepted += result.events
        return result

    def _merge_segments(self, batch: WriteBatch) -> None:
        """Make many small segments one, so that readers look into few."""
        number = surplus([segment.events for segment in self.segments])
        if number:
            small = self.segments[-number:]
            for segment in small:
                batch.delete(segment.key)
            together = merged(small)
            batch.puts[together.key] = encode_runs(together)
            self.segments[-number:] = [together]

    def _values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values as of this step: what it has changed so far, and what is stored."""
        puts = self._batch.puts
        stored = iter(self._read([key for key in keys if key not in puts]))
        return [puts[key] if key in puts else next(stored) for key in keys]

    def _put_meta(self, earlier: Sequence[Segment], batch: WriteBatch) -> None:
        """Describe the state as it is after ``batch``; ``earlier`` segments belong to it too."""
        names = [segment.name for segment in (*earlier, *self.segments)]
        self.meta = msgspec.structs.replace(self.meta, applied=self.applied, segments=names)
        batch.puts[META_KEY] = _META.encode(self.meta)
