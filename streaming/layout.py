"""The worker's private keys beside the readable state, and the records under them.

    w               the open slice: :class:`SliceHead`
    j + offset      journal of the open slice: one row per fold, :data:`JournalRow`
    x + offset      a finished example of the open slice, by its first target's offset
    o + parcel + n  outbox: :class:`OutboxRow` number n of a parcel that is still to be delivered

Offsets and numbers are big-endian, so that key order is number order.
"""

from __future__ import annotations

import struct

import msgspec

HEAD_KEY = b"w"
JOURNAL_PREFIX = b"j"
EXAMPLE_PREFIX = b"x"
OUTBOX_PREFIX = b"o"
HEAD_FORMAT = 1

NO_LABEL = -1
"""Stands for "none yet": labels are periods since 1970 and never negative."""

JournalRow = list[tuple[bytes, list[int], list[int], int]]
"""Per user: id bytes, offsets, append times, and the bytes their entries take in the sequence."""

_NUMBER = struct.Struct(">Q")
_PARCEL = struct.Struct(">QI")


class SliceHead(msgspec.Struct, array_like=True):
    """Where the open slice stands. Written with every batch, read on opening.

    ``closed`` is the last closed label, ``label`` the open slice's (``NO_LABEL`` while it has no
    record), ``start`` its first offset. ``period_ms`` and ``max_targets`` are those it is cut by.
    """

    format: int
    period_ms: int
    max_targets: int
    closed: int
    label: int
    start: int
    events: int
    rejected: int


class OutboxRow(msgspec.Struct, frozen=True, array_like=True):
    """One record to produce. ``topic`` is a name of the topic table, without prefix."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


_ENCODER = msgspec.msgpack.Encoder()
_HEAD = msgspec.msgpack.Decoder(SliceHead)
_ROW = msgspec.msgpack.Decoder(OutboxRow)
_JOURNAL: msgspec.msgpack.Decoder[JournalRow] = msgspec.msgpack.Decoder(JournalRow)


def number_key(prefix: bytes, number: int) -> bytes:
    """The key of a journal row, an example, or the common start of a parcel's rows."""
    return prefix + _NUMBER.pack(number)


def parcel_key(parcel: int, row: int) -> bytes:
    """The key of one row of a parcel."""
    return OUTBOX_PREFIX + _PARCEL.pack(parcel, row)


def parcel_of(key: bytes) -> int:
    """The parcel number in a row's key."""
    number: int = _PARCEL.unpack(key[1:])[0]
    return number


def encode(record: SliceHead | OutboxRow | JournalRow) -> bytes:
    """Msgpack bytes."""
    return _ENCODER.encode(record)


def decode_head(raw: bytes) -> SliceHead:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _HEAD.decode(raw)


def decode_row(raw: bytes) -> OutboxRow:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _ROW.decode(raw)


def decode_journal(raw: bytes) -> JournalRow:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _JOURNAL.decode(raw)
