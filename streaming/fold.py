"""The fold: records in, new sequence values, offset, journal and closed slices out.

Law 1, one user, one partition: a user's state is the fold of that user's accepted events in log
order, and nothing else.

Law 2, applied once: :class:`Changes` holds state and the offset it reaches, for one write batch;
a record below the applied offset is counted as a duplicate and skipped.

Pure but for the ``read`` function, which looks up values as of the last written changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from contracts.errors import EventRejected
from contracts.sequence import (
    HEADER_BYTES,
    META_KEY,
    USER_PREFIX,
    PartitionMeta,
    encode_entry,
    encode_id,
    pack_sequence,
    skip_entries,
    unpack_header,
)
from contracts.topics import WINDOWS
from contracts.window import Example
from streaming.decode import EventDecoder
from streaming.layout import (
    EXAMPLE_PREFIX,
    HEAD_KEY,
    JOURNAL_PREFIX,
    NO_LABEL,
    JournalRow,
    OutboxRow,
    SliceHead,
    encode,
    number_key,
    parcel_key,
)
from streaming.letters import Record, dead_letter
from streaming.rules import FoldRules
from streaming.windows import OpenSlice, cut_example, label_of, slice_records

Read = Callable[[Sequence[bytes]], list[bytes | None]]
_Group = tuple[list[bytes], list[int], list[int]]  # entries, offsets, append times
_META = msgspec.msgpack.Encoder()
_EXAMPLE = msgspec.msgpack.Decoder(Example)


class Changes:
    """What one fold changes. Written all at once or not at all; deletes come before puts."""

    def __init__(self) -> None:
        self.puts: dict[bytes, bytes] = {}
        self.deletes: list[bytes] = []
        self.parcels: list[int] = []
        self.accepted = 0
        self.duplicates = 0
        self.closed = 0
        self.rejected: Counter[str] = Counter()
        self.letters: list[OutboxRow] = []

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.puts or self.deletes)


class Fold:
    """The fold of one partition, with the open slice in memory.

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
        self.slice = OpenSlice(head.max_targets)
        self.stored_examples: list[bytes] = []
        self.journal: list[bytes] = []
        self._rules = rules
        self._read = read
        self._parcel = parcel
        self._codes = {action: code for code, action in enumerate(meta.actions)}
        self._decode = EventDecoder(meta.actions, rules.max_bytes).decode

    def fold(self, records: Iterable[Record]) -> Changes:
        """Take in records of this partition, in log order."""
        changes = Changes()
        groups: dict[bytes, _Group] = {}
        first = self.applied
        for record in records:
            offset = record.offset
            if offset < self.applied:
                changes.duplicates += 1
                continue
            label = label_of(record.timestamp, self.head)
            if label != self.head.label:
                if self.head.label != NO_LABEL:
                    self._append(groups, changes)
                    groups, first = {}, offset
                    # Not at this record: an idle partition is closed here, and both must agree.
                    self._close(changes, self.applied)
                self.head.label = label
            self._take(record, groups, changes)
            self.applied = offset + 1
        if self.applied == self.meta.applied:
            return changes
        rows = self._append(groups, changes)
        if rows:
            key = number_key(JOURNAL_PREFIX, first)
            changes.puts[key] = encode(rows)
            self.journal.append(key)
        self._post(changes.letters, changes)
        self._finish(changes)
        return changes

    def close_until(self, label: int) -> Changes:
        """Close what an idle partition owes: the open slice, then ``label`` itself, empty.

        The caller has applied all that the log holds, and the period of ``label`` is over.
        """
        changes = Changes()
        if self.head.label != NO_LABEL and self.head.label <= label:
            self._close(changes, self.applied)
        if self.head.label == NO_LABEL and self.head.closed < label:
            self.head.label = label
            self._close(changes, self.applied)
        if changes.closed:
            self._finish(changes)
        return changes

    def _take(self, record: Record, groups: dict[bytes, _Group], changes: Changes) -> None:
        try:
            event = self._decode(record.key, record.value, record.headers)
        except EventRejected as cause:
            changes.rejected[cause.reason] += 1
            changes.letters.append(dead_letter(record, cause))
            self.head.rejected += 1
            return
        entry = encode_entry(event.item_id, self._codes[event.type], event.time, event.value)
        user = encode_id(event.user_id)
        group = groups.get(user)
        if group is None:
            group = groups[user] = ([], [], [])
        group[0].append(entry)
        group[1].append(record.offset)
        group[2].append(record.timestamp)
        self.head.events += 1
        changes.accepted += 1

    def _append(self, groups: dict[bytes, _Group], changes: Changes) -> JournalRow:
        """Append each user's entries to the sequence; returns what the journal must remember."""
        rows: JournalRow = []
        keys = [USER_PREFIX + user for user in groups]
        values = self._values(keys, changes)
        for (user, group), key, value in zip(groups.items(), keys, values, strict=True):
            changes.puts[key] = self._append_user(user, group, value, rows, changes)
        return rows

    def _append_user(
        self, user: bytes, group: _Group, value: bytes | None, rows: JournalRow, changes: Changes
    ) -> bytes:
        entries, offsets, appended = group
        done = 0
        while done < len(entries):
            held = self.slice.size(user)
            upto = min(len(entries), done + self.head.max_targets - held)
            blob = b"".join(entries[done:upto])
            value = _grown(value, blob, upto - done, offsets[upto - 1], self._keep(held))
            row = (user, offsets[done:upto], appended[done:upto], len(blob))
            rows.append(row)
            full = self.slice.add(*row)
            if full is not None:
                example = cut_example(user, value, full, self._rules.history_length)
                key = number_key(EXAMPLE_PREFIX, full.offsets[0])
                changes.puts[key] = _META.encode(example)
                self.stored_examples.append(key)
            done = upto
        assert value is not None  # every group has at least one entry
        return value

    def _keep(self, held: int) -> int:
        return self._rules.history_length + held

    def _close(self, changes: Changes, end: int) -> None:
        """Close the open slice at ``end`` and open the next one there, still without a label."""
        users = list(self.slice.tails)
        values = self._values([USER_PREFIX + user for user in users], changes)
        examples = [
            cut_example(user, value or b"", self.slice.tails[user], self._rules.history_length)
            for user, value in zip(users, values, strict=True)
        ]
        stored = self._values(self.stored_examples, changes)
        examples += [_EXAMPLE.decode(raw or b"") for raw in stored]
        records = slice_records(
            self.head,
            (self.meta.partition, end),
            self.meta.actions,
            examples,
            self._rules.part_bytes,
        )
        rows = [
            OutboxRow(WINDOWS.name, self.meta.partition, None, record, []) for record in records
        ]
        self._post(rows, changes)
        for key in (*self.journal, *self.stored_examples):
            if changes.puts.pop(key, None) is None:
                changes.deletes.append(key)
        self._open_next(end)
        changes.closed += 1

    def _open_next(self, start: int) -> None:
        self.journal = []
        self.stored_examples = []
        self.slice = OpenSlice(self._rules.max_targets)
        self.head = SliceHead(
            self.head.format,
            self.head.period_ms,
            self._rules.max_targets,
            self.head.label,
            NO_LABEL,
            start,
            0,
            0,
        )

    def _values(self, keys: list[bytes], changes: Changes) -> list[bytes | None]:
        """Values as of this fold: what it has changed so far, and what is stored."""
        if not changes.puts:
            return self._read(keys)
        stored = iter(self._read([key for key in keys if key not in changes.puts]))
        return [changes.puts[key] if key in changes.puts else next(stored) for key in keys]

    def _post(self, rows: list[OutboxRow], changes: Changes) -> None:
        """Put rows into the outbox as one parcel: produced together, removed together."""
        if not rows:
            return
        for number, row in enumerate(rows):
            changes.puts[parcel_key(self._parcel, number)] = encode(row)
        changes.parcels.append(self._parcel)
        self._parcel += 1

    def _finish(self, changes: Changes) -> None:
        self.meta = msgspec.structs.replace(self.meta, applied=self.applied)
        changes.puts[META_KEY] = _META.encode(self.meta)
        changes.puts[HEAD_KEY] = encode(self.head)


def _grown(value: bytes | None, blob: bytes, number: int, offset: int, keep: int) -> bytes:
    """A sequence value with ``number`` more entries; of the old ones the last ``keep`` stay."""
    if value is None:
        return pack_sequence(number, offset, number, blob)
    accepted, _, count = unpack_header(value)
    surplus = max(0, count - keep)
    begin = skip_entries(value, HEADER_BYTES, surplus)
    return pack_sequence(accepted + number, offset, count - surplus + number, value[begin:] + blob)
