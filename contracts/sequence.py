"""The binary format of a user's events: written by the stream worker, read by everyone else.

A sequence value is ``header + entry*``; entries stand in log order, oldest first.

    header  <B format> <Q accepted events ever> <q offset of the last one> <I number of entries>
    entry   <B length of the rest> <B action code> <q time ms> <f value, NaN if none> <id>
    id      b"i" + 8 bytes little-endian signed, or b"s" + UTF-8

A sequence value is written when a stretch of the log is sealed; what was accepted since stands in
segments (:mod:`everfresh.contracts.segment`), and a user's state is both. Appending copies bytes
and never decodes an entry, which is what makes the fold cheap. Readers take the last
``history_length`` entries. The action code is the position of the action in the table stored beside
the data.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence

import msgspec

from everfresh.contracts.errors import StateFormatError
from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.foreign import advice

FORMAT = 2
_OLDER = (
    "run the release that wrote this state, or move it and its snapshots away, so that it is made "
    "again from the log"
)
_HEADER = struct.Struct("<BQqI")
_ENTRY = struct.Struct("<BBqf")
_INT = struct.Struct("<q")
HEADER_BYTES = _HEADER.size
INT_ENTRY = struct.Struct("<BBqfcq")
"""An entry whose item is an integer, in one go: ``size - 1``, code, time, value, ``b"i"``, item."""
_MANY_BYTES = 8 * INT_ENTRY.size
"""Of entries that cost less in one go than one by one."""

USER_PREFIX = b"u"
"""State keys of users are this prefix followed by :func:`encode_id` of the user id."""
META_KEY = b"meta"
"""State key of the partition's :class:`PartitionMeta`, msgpack."""


class PartitionMeta(msgspec.Struct, frozen=True):
    """What one partition's state directory says of itself. A directory without it is new.

    Written by the stream worker with every batch (law 2); read by it, by replicas and by
    ``everfresh state``.

    ``applied`` is the offset after the last record that the state contains. ``cluster`` and
    ``topic_id`` name the log it was folded from; ``actions`` is the action table of its entries.
    ``partitions`` is how many the topic had (0: not noted); with another number users move.
    ``segments`` names the segments that belong to the state, by offsets ``(first, end)``, in order.
    Misplaced records below ``forwards_from`` are not forwarded: a state that was lost may have
    forwarded them.
    """

    format: int
    cluster: str
    topic: str
    topic_id: str
    partition: int
    applied: int
    actions: list[str]
    partitions: int = 0
    segments: list[tuple[int, int]] = []
    forwards_from: int = 0


class Interaction(msgspec.Struct, frozen=True, array_like=True):
    """One decoded entry: ``time`` in UTC ms; ``value`` is None where the action has none."""

    item: ItemId
    action: str
    time: int
    value: float | None = None


class UserState(msgspec.Struct, frozen=True):
    """A user's state as read: the last interactions, oldest first, and where they come from."""

    user: UserId
    partition: int
    offset: int
    accepted: int
    history: list[Interaction]


class StateReach(msgspec.Struct, frozen=True):
    """How far the state of a user's own partition is on this machine.

    ``applied`` is the offset after the last record in it; ``None`` where it is not here.
    """

    partition: int
    applied: int | None


class StoredSequence(msgspec.Struct, frozen=True):
    """A sequence value as it is stored, undecoded: for readers that know most of it already.

    ``actions`` is the action table beside it; of its entries the last ``length`` are in use.
    """

    user: UserId
    partition: int
    raw: bytes
    actions: list[str]
    length: int

    def decode(self) -> UserState:
        """The user's state; ``StateFormatError`` where it is of another format."""
        return decode_sequence(self.user, self.partition, self.raw, self.actions, self.length)

    def entries(self) -> bytes:
        """Those in use, without the header; ``StateFormatError`` as above."""
        return _in_use(self.raw, unpack_header(self.raw)[2], self.length)


def encode_id(value: int | str) -> bytes:
    """Type-tagged bytes of an id; integers must fit 64 bits signed (``struct.error`` otherwise)."""
    if isinstance(value, int):
        return b"i" + _INT.pack(value)
    return b"s" + value.encode()


def decode_id(raw: bytes) -> int | str:
    """The inverse of :func:`encode_id`."""
    if raw[:1] == b"i":
        return int(_INT.unpack(raw[1:])[0])
    return raw[1:].decode()


def encode_entry(item: ItemId, action_code: int, time: int, value: float | None) -> bytes:
    """One entry, its length byte included."""
    number = math.nan if value is None else value
    if isinstance(item, int):
        return INT_ENTRY.pack(INT_ENTRY.size - 1, action_code, time, number, b"i", item)
    tail = encode_id(item)
    return _ENTRY.pack(_ENTRY.size - 1 + len(tail), action_code, time, number) + tail


def decode_entries(raw: bytes, actions: list[str]) -> list[Interaction]:
    """Entries without a header, oldest first, as interactions."""
    out: list[Interaction] = []
    for at in entry_starts(raw, 0):
        length, code, time, value = _ENTRY.unpack_from(raw, at)
        if code >= len(actions):
            raise StateFormatError(
                f"an entry has action code {code}, and the table beside it has {len(actions)} "
                "actions: the state was written with another list in events.actions; set that back"
            )
        item = decode_id(raw[at + _ENTRY.size : at + 1 + length])
        out.append(Interaction(item, actions[code], time, None if math.isnan(value) else value))
    return out


def decode_items(raw: bytes) -> list[ItemId]:
    """The items alone of entries without a header, oldest first."""
    even = even_entries(raw) if len(raw) >= _MANY_BYTES else None
    if even is not None:
        return list(even.items)
    at = _ENTRY.size
    return [decode_id(raw[start + at : start + 1 + raw[start]]) for start in entry_starts(raw, 0)]


def decode_items_and_times(raw: bytes) -> tuple[Sequence[ItemId], Sequence[int]]:
    """The items and the times of entries without a header, oldest first."""
    even = even_entries(raw) if len(raw) >= _MANY_BYTES else None
    if even is not None:
        return even.items, even.times
    unpack = _ENTRY.unpack_from
    return decode_items(raw), [unpack(raw, start)[2] for start in entry_starts(raw, 0)]


class EntryColumns(msgspec.Struct, frozen=True):
    """Entries as columns, oldest first; a value is NaN where there is none."""

    codes: tuple[int, ...]
    times: tuple[int, ...]
    values: tuple[float, ...]
    items: Sequence[ItemId]


def even_entries(raw: bytes) -> EntryColumns | None:
    """Entries without a header at a sixth of what decoding them costs.

    ``None`` unless there are some, all equally long, with items of one type.
    """
    size, tag = 1 + raw[0] if raw else 0, raw[_ENTRY.size : _ENTRY.size + 1]
    if size <= _ENTRY.size or len(raw) % size or (tag == b"i" and size != INT_ENTRY.size):
        return None
    form = INT_ENTRY.format if tag == b"i" else f"{_ENTRY.format}c{size - _ENTRY.size - 1}s"
    lengths, codes, times, values, tags, items = zip(*struct.iter_unpack(form, raw), strict=True)
    if set(lengths) != {size - 1} or set(tags) != {tag}:
        return None
    names = items if tag == b"i" else [item.decode() for item in items]
    return EntryColumns(codes, times, values, names)


def entry_starts(raw: bytes, begin: int) -> Iterator[int]:
    """Positions of the entries in ``raw`` from ``begin`` on."""
    at, end = begin, len(raw)
    while at < end:
        yield at
        at += 1 + raw[at]


def pack_sequence(accepted: int, offset: int, count: int, entries: bytes) -> bytes:
    """A sequence value from its parts; ``count`` is the number of entries in ``entries``."""
    return _HEADER.pack(FORMAT, accepted, offset, count) + entries


def unpack_header(raw: bytes) -> tuple[int, int, int]:
    """``(accepted, last offset, number of entries)``; refuses another format."""
    if len(raw) < HEADER_BYTES or raw[0] != FORMAT:
        there = raw[0] if raw else "nothing"
        raise StateFormatError(
            f"sequence format {FORMAT} expected, found {there}: "
            f"{advice(raw[0] if raw else 0, (FORMAT,), _OLDER)}"
        )
    _, accepted, offset, count = _HEADER.unpack_from(raw)
    return accepted, offset, count


def skip_entries(raw: bytes, begin: int, number: int) -> int:
    """The position after ``number`` entries from ``begin`` on; ``begin`` where it is negative."""
    at = begin
    for _ in range(number):
        at += 1 + raw[at]
    return at


def continued_at(old: bytes, new: bytes) -> int | None:
    """Where the entries of sequence value ``new`` begin that ``old`` did not have yet.

    ``None`` unless ``new`` is ``old``, byte for byte, with entries dropped at the front and added
    at the end.
    """
    before, _, held = unpack_header(old)
    accepted, _, count = unpack_header(new)
    added = accepted - before
    dropped = held + added - count
    if added < 0 or not 0 <= dropped <= held:
        return None
    begin = skip_entries(old, HEADER_BYTES, dropped)
    end = HEADER_BYTES + len(old) - begin
    return end if old[begin:] == new[HEADER_BYTES:end] else None


def grown(value: bytes | None, entries: bytes, number: int, offset: int, keep: int) -> bytes:
    """A sequence value with ``number`` more entries, of which the last has ``offset``.

    The last ``keep`` entries stay; ``value`` is ``None`` for a user without any.
    """
    if value is None:
        begin = skip_entries(entries, 0, number - keep)
        return pack_sequence(number, offset, min(number, keep), entries[begin:])
    accepted, _, count = unpack_header(value)
    surplus = max(0, count + number - keep)
    begin = skip_entries(value, HEADER_BYTES, min(surplus, count))
    rest = skip_entries(entries, 0, surplus - count)
    kept = value[begin:] + (entries[rest:] if rest else entries)
    return pack_sequence(accepted + number, offset, count + number - surplus, kept)


def decode_sequence(
    user: UserId, partition: int, raw: bytes, actions: list[str], length: int
) -> UserState:
    """The last ``length`` interactions of a sequence value."""
    accepted, offset, count = unpack_header(raw)
    history = decode_entries(_in_use(raw, count, length), actions)
    return UserState(user, partition, offset, accepted, history)


def _in_use(raw: bytes, count: int, length: int) -> bytes:
    return raw[skip_entries(raw, HEADER_BYTES, max(0, count - length)) :]
