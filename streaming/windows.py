"""How the log is cut into slices (law 3). Pure: no I/O and no clock.

Windows tile the log. The label of a record is the number of its period in broker append time, but
later than the last closed label and never less than the open one; so labels only grow. A record
with a later label closes the open slice right before itself. Which entry belongs to which example
follows from offsets alone, so how the log was cut into fetches leaves no trace in a slice's bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from contracts.sequence import HEADER_BYTES, decode_id, skip_entries, unpack_header
from contracts.window import FORMAT, Example, SliceClosed, SlicePart, encode_slice_record
from streaming.layout import JournalRow, SliceHead

_NUMBER_BYTES = 9  # the most that msgpack takes for one offset or time
_EXAMPLE_BYTES = 32  # and for the frame of an example


def label_of(append_ms: int, head: SliceHead) -> int:
    """The label of a record appended at ``append_ms``, given where the open slice stands."""
    return max(append_ms // head.period_ms, head.closed + 1, head.label)


def last_ended(now_ms: int, period_ms: int, grace_ms: int) -> int:
    """The last label whose period ended at least ``grace_ms`` ago."""
    return (now_ms - grace_ms) // period_ms - 1


class Tail(msgspec.Struct):
    """One user's targets in the open slice: the last ``size`` bytes of the sequence value."""

    offsets: list[int]
    appended: list[int]
    size: int


class OpenSlice:
    """Whose entries belong to the open slice. Entries themselves stay in the sequence values.

    A user with ``max_targets`` targets yields an example at once and starts anew, so a sequence
    value never holds more than ``history_length + max_targets`` entries.
    """

    def __init__(self, max_targets: int) -> None:
        self._max_targets = max_targets
        self.tails: dict[bytes, Tail] = {}

    def size(self, user: bytes) -> int:
        """How many targets the user has in the next example."""
        tail = self.tails.get(user)
        return len(tail.offsets) if tail else 0

    def add(self, user: bytes, offsets: list[int], appended: list[int], size: int) -> Tail | None:
        """Note new targets, no more than fit; a tail that is now full is dropped and returned."""
        tail = self.tails.get(user)
        if tail is None:
            tail = self.tails[user] = Tail(list(offsets), list(appended), size)
        else:
            tail.offsets += offsets
            tail.appended += appended
            tail.size += size
        if len(tail.offsets) < self._max_targets:
            return None
        return self.tails.pop(user)

    def replay(self, rows: Iterable[JournalRow]) -> None:
        """Take in the journal of an open slice; full tails are already stored as examples."""
        for row in rows:
            for user, offsets, appended, size in row:
                self.add(user, offsets, appended, size)


def cut_example(user: bytes, value: bytes, tail: Tail, history_length: int) -> Example:
    """The example of a user whose sequence value ends with the entries of ``tail``."""
    _, _, count = unpack_header(value)
    split = len(value) - tail.size
    surplus = count - len(tail.offsets) - history_length
    begin = skip_entries(value, HEADER_BYTES, surplus) if surplus > 0 else HEADER_BYTES
    return Example(decode_id(user), value[begin:split], value[split:], tail.offsets, tail.appended)


def slice_records(
    head: SliceHead,
    where: tuple[int, int],
    actions: list[str],
    examples: list[Example],
    part_bytes: int,
) -> Iterator[bytes]:
    """The encoded records of the slice that ``head`` describes: its parts, then the closing.

    ``where`` is ``(partition, end offset)``. Examples are put in order of their first target.
    """
    partition, end = where
    digest = hashlib.sha256()
    parts = 0
    for chosen in _parts(sorted(examples, key=lambda example: example.offsets[0]), part_bytes):
        raw = encode_slice_record(SlicePart(partition, head.label, parts, actions, chosen))
        digest.update(raw)
        parts += 1
        yield raw
    yield encode_slice_record(
        SliceClosed(
            FORMAT,
            partition,
            head.label,
            head.start,
            end,
            parts,
            head.events,
            head.rejected,
            digest.hexdigest(),
        )
    )


def _parts(examples: list[Example], part_bytes: int) -> Iterator[list[Example]]:
    part: list[Example] = []
    filled = 0
    for example in examples:
        size = example_bytes(len(example.context) + len(example.targets), len(example.offsets))
        if part and filled + size > part_bytes:
            yield part
            part, filled = [], 0
        part.append(example)
        filled += size
    if part:
        yield part


def example_bytes(entries: int, targets: int) -> int:
    """About how many bytes an example takes: ``entries`` in bytes, ``targets`` in number."""
    return _EXAMPLE_BYTES + entries + 2 * _NUMBER_BYTES * targets
