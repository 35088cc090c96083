"""The fold of a follower: records in; segments, users' values and the offset out.

What it accepts and how it stores it is the worker's own code (:class:`SequenceFold`). It cuts no
windows, and fills no outbox: what is rejected is counted. When a stretch is full, its segments are
settled: its events move into the users' values, in steps between fetches. A state in the middle of
that reads the same as before and after, since readers skip runs that a value already contains.

Killed anywhere, the next run settles what the description still names; a run that a value contains
is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from everfresh.contracts.segment import Segment, first_offset, split
from everfresh.contracts.sequence import USER_PREFIX, PartitionMeta, grown, unpack_header
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.fold.sequences import SequenceFold
from everfresh.streaming.log.records import Record
from everfresh.streaming.state.store import ReadMany
from everfresh.streaming.state.write_batch import WriteBatch

_NO_EDGE_MS = 1 << 62  # windows cut the worker's segments; readers do not see where
_USERS_AT_A_TIME = 256  # some milliseconds


class StandbyFold(SequenceFold):
    """The fold of one partition. Each method returns what is to be written at once."""

    def __init__(
        self,
        meta: PartitionMeta,
        rules: FoldRules,
        read: ReadMany,
        segments: list[Segment],
        recent: Iterable[tuple[bytes, bytes]],
    ) -> None:
        """``segments`` are those that the state names, ``recent`` the ids that it remembers."""
        super().__init__(meta, rules, read)
        self._restore_ids(recent)
        self._fresh = 0
        self._settling: list[Segment] = []
        self._waiting: Iterator[bytes] = iter(())
        # An owner may have moved some of their events already, up to a segment's end: no segment
        # from after it may be merged with them.
        self._begin_settling(segments)

    @property
    def settling(self) -> bool:
        """Whether segments wait for :meth:`settle`."""
        return bool(self._settling)

    def fold(self, records: Iterable[Record]) -> WriteBatch:
        """Take in records of this partition, in log order."""
        batch = self._batch = WriteBatch()
        todo = self._unapplied(records, batch)
        if not todo:
            return batch
        at = 0
        while at < len(todo):
            room = self._rules.stretch_events - self._fresh
            result = self._take(todo, at, _NO_EDGE_MS, room, batch)
            at += result.count
            self._fresh += result.events
            for _, cause in result.rejects:
                batch.rejected[cause.reason] += 1
            if self._fresh >= self._rules.stretch_events:
                self._seal(batch)
        self._merge_segments(batch)
        self._put_meta(self._settling, batch)
        return batch

    def settle(self) -> WriteBatch:
        """Move the events of some users into their values; nothing where none is left."""
        batch = self._batch = WriteBatch()
        if self.settling and self._step(batch):
            self._put_meta(self._settling, batch)
        return batch

    def _seal(self, batch: WriteBatch) -> None:
        while self.settling:  # it fell behind the log
            self._step(batch)
        self._begin_settling(self.segments)
        self.segments, self._fresh = [], 0

    def _begin_settling(self, segments: list[Segment]) -> None:
        self._settling = segments
        self._waiting = iter(dict.fromkeys(user for each in segments for user in each.runs))

    def _step(self, batch: WriteBatch) -> bool:
        """True after the last one, when the segments are deleted."""
        users = list(islice(self._waiting, _USERS_AT_A_TIME))
        keys = [USER_PREFIX + user for user in users]
        for user, key, value in zip(users, keys, self._values(keys), strict=True):
            after = -1 if value is None else unpack_header(value)[1]
            runs = [each.runs[user] for each in self._settling if user in each.runs]
            run = b"".join(run for run in runs if first_offset(run) > after)
            if run:
                entries, offsets, _ = split(run)
                length = self._rules.history_length
                batch.puts[key] = grown(value, entries, len(offsets), offsets[-1], length)
        if len(users) == _USERS_AT_A_TIME:
            return False
        for segment in self._settling:
            batch.delete(segment.key)
        self._settling = []
        return True
