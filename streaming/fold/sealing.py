"""Turns sealed stretches of the log into slice parts and sequence values, one part at a time.

When a stretch of the log is sealed (its slice closed, or it is full), its users' examples are cut
and their events move from segments into sequence values. With many users that is megabytes, so it
is done in steps between fetches: each step makes one part, and one write batch holds that part, the
new values of its users and the place reached. A state in the middle of it reads the same as before
and after: readers skip runs that a value already contains.

Killed anywhere, the next owner goes on after the last step that was written; steps repeat the same
bytes, for they follow from segments and values alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain, islice

import msgspec

from everfresh.contracts.segment import Segment, split
from everfresh.contracts.sequence import USER_PREFIX, PartitionMeta
from everfresh.contracts.topics import WINDOWS
from everfresh.contracts.window import Example, SliceClosed, SlicePart, encode_slice_record
from everfresh.streaming.fold.rows import NOTHING_SEALED, Closing, encode
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.fold.windows import cut_examples, example_bytes
from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.outbox.rows import OutboxRow
from everfresh.streaming.state.key_layout import CLOSING_KEY
from everfresh.streaming.state.store import ReadMany
from everfresh.streaming.state.write_batch import WriteBatch

# An example, its user's key, and the sequence value after the user's last example, else None: a
# value contains a stretch as a whole or not at all.
_MadeExample = tuple[Example, bytes, bytes | None]
_AT_A_TIME = 64  # users whose values are read in one go


class Sealing:
    """Makes the parts of one slice. At most one stretch is sealed at a time."""

    def __init__(
        self, meta: PartitionMeta, rules: FoldRules, read: ReadMany, outbox: Outbox
    ) -> None:
        self.closing: Closing | None = None
        self.segments: list[Segment] = []
        self._partition = meta.partition
        self._actions = meta.actions
        self._rules = rules
        self._read = read
        self._outbox = outbox
        self._digest = hashlib.sha256()
        self._made: Iterator[_MadeExample] = iter(())

    @property
    def busy(self) -> bool:
        """Whether a sealed stretch waits for :meth:`step`."""
        return self.closing is not None and self.closing.upto != NOTHING_SEALED

    def resume(self, closing: Closing, segments: list[Segment]) -> None:
        """Go on where the state says; ``segments`` are those of the sealed stretch."""
        self.closing, self.segments = closing, segments
        for part in range(closing.parts):
            row = self._outbox.read_row(closing.outbox_batch, part)
            self._digest.update(row.value or b"")
        self._made = self._make(closing.examples)

    def seal(self, closing: Closing, segments: list[Segment], upto: int) -> None:
        """Begin a stretch that ends before offset ``upto``; the former one is done.

        ``closing`` is this object's own where the slice goes on, a new one otherwise.
        """
        assert not self.busy
        if closing is not self.closing:
            self._digest = hashlib.sha256()
        closing.upto, closing.examples = upto, 0
        self.closing, self.segments = closing, segments
        self._made = self._make(0)

    def step(self, batch: WriteBatch) -> bool:
        """Make one part. True after the last one, when the stretch's segments are deleted."""
        closing = self.closing
        assert closing is not None
        part: list[Example] = []
        filled = 0
        for example, key, value in self._made:
            size = example_bytes(len(example.context) + len(example.targets), len(example.offsets))
            if part and filled + size > self._rules.part_bytes:
                self._made = chain([(example, key, value)], self._made)
                break
            part.append(example)
            filled += size
            if value is not None:
                batch.puts[key] = value
        else:
            closing.upto = NOTHING_SEALED
        if part:
            closing.examples += len(part)
            self._add_part(closing, part, batch)
        batch.puts[CLOSING_KEY] = encode(closing)
        if self.busy:
            return False
        self._complete(closing, batch)
        return True

    def _complete(self, closing: Closing, batch: WriteBatch) -> None:
        for segment in self.segments:
            batch.delete(segment.key)
        self.segments = []
        if closing.closed is not None:
            self._add_closed(closing, closing.closed, batch)
            batch.delete(CLOSING_KEY)
            self.closing = None

    def _add_part(self, closing: Closing, examples: list[Example], batch: WriteBatch) -> None:
        where = (self._partition, closing.label, closing.parts)
        part = SlicePart(*where, self._actions, examples, closing.cut)
        raw = encode_slice_record(part)
        self._digest.update(raw)
        self._add_row(closing, raw, batch)
        closing.parts += 1

    def _add_closed(self, closing: Closing, closed: SliceClosed, batch: WriteBatch) -> None:
        record = msgspec.structs.replace(
            closed, parts=closing.parts, digest=self._digest.hexdigest()
        )
        self._add_row(closing, encode_slice_record(record), batch)
        self._outbox.complete_batch(closing.outbox_batch, batch)
        batch.closed += 1

    def _add_row(self, closing: Closing, raw: bytes, batch: WriteBatch) -> None:
        row = OutboxRow(WINDOWS.name, self._partition, None, raw, [])
        self._outbox.add_row(closing.outbox_batch, closing.parts, row, batch)

    def _make(self, skip: int) -> Iterator[_MadeExample]:
        """All examples of the stretch but the first ``skip``, which have been made."""
        closing = self.closing
        assert closing is not None
        pieces: dict[bytes, list[bytes]] = {}
        for segment in self.segments:
            for user, piece in segment.runs.items():
                pieces.setdefault(user, []).append(piece)
        waiting = iter(pieces)
        while chosen := list(islice(waiting, _AT_A_TIME)):
            runs = {user: split(b"".join(pieces[user])) for user in chosen}
            for user, run in list(runs.items()):
                if skip < (number := -(-len(run[1]) // closing.max_targets)):
                    break
                skip -= number
                del runs[user]  # its value contains the run already
            values = self._read([USER_PREFIX + user for user in runs])
            for (user, run), value in zip(runs.items(), values, strict=True):
                cut = cut_examples(
                    user, value, run, closing.max_targets, self._rules.history_length
                )
                for number, (example, after) in enumerate(cut):
                    if number >= skip:
                        last = example.offsets[-1] == run[1][-1]
                        yield example, USER_PREFIX + user, after if last else None
                skip = 0
