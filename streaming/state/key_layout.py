"""The worker's private keys beside the readable state, and the records under them.

    w               the open slice: :class:`SliceHead`
    c               the slice whose parts are being made: :class:`Closing`
    o + parcel + n  outbox: :class:`OutboxRow` number n of a parcel that is still to be delivered

Numbers are big-endian, so that key order is number order.
"""

from __future__ import annotations

import struct

import msgspec

from everfresh.contracts.window import SliceClosed

HEAD_KEY = b"w"
CLOSING_KEY = b"c"
OUTBOX_PREFIX = b"o"
HEAD_FORMAT = 2

NO_LABEL = -1
"""Stands for "none yet": labels are periods since 1970 and never negative."""
NOTHING_SEALED = -1
"""Stands for "none" where an offset is meant."""

_PARCEL = struct.Struct(">QI")
_NUMBER = struct.Struct(">Q")


class SliceHead(msgspec.Struct, array_like=True):
    """Where the open slice stands. Written with every batch, read on opening.

    ``closed`` is the last closed label, ``label`` the open slice's (``NO_LABEL`` while it has no
    record), ``start`` its first offset. ``period_ms``, ``max_targets`` and ``stretch_events`` are
    those it is cut by; ``fresh`` counts the accepted events of its open stretch.
    """

    format: int
    period_ms: int
    max_targets: int
    stretch_events: int
    closed: int
    label: int
    start: int
    events: int = 0
    rejected: int = 0
    fresh: int = 0


class Closing(msgspec.Struct, array_like=True):
    """How far a slice's parts have been made. Absent where no stretch of a slice is sealed yet.

    ``parts`` stand in the outbox as rows of ``parcel``, which is not to be delivered before the
    slice is complete. Of the sealed stretch, which ends at offset ``upto``, ``examples`` have been
    made. ``closed`` is set once the slice's last stretch is sealed.
    """

    label: int
    max_targets: int
    parcel: int
    parts: int = 0
    upto: int = NOTHING_SEALED
    examples: int = 0
    closed: SliceClosed | None = None


class OutboxRow(msgspec.Struct, frozen=True, array_like=True):
    """One record to produce. ``topic`` is a name of the topic table, without prefix."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


_ENCODER = msgspec.msgpack.Encoder()
_HEAD = msgspec.msgpack.Decoder(SliceHead)
_CLOSING = msgspec.msgpack.Decoder(Closing)
_ROW = msgspec.msgpack.Decoder(OutboxRow)


def parcel_prefix(parcel: int) -> bytes:
    """The common start of the keys of a parcel's rows."""
    return OUTBOX_PREFIX + _NUMBER.pack(parcel)


def parcel_key(parcel: int, row: int) -> bytes:
    """The key of one row of a parcel."""
    return OUTBOX_PREFIX + _PARCEL.pack(parcel, row)


def parcel_of(key: bytes) -> int:
    """The parcel number in a row's key."""
    number: int = _PARCEL.unpack(key[1:])[0]
    return number


def encode(record: SliceHead | Closing | OutboxRow) -> bytes:
    """Msgpack bytes."""
    return _ENCODER.encode(record)


def decode_head(raw: bytes) -> SliceHead:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _HEAD.decode(raw)


def decode_closing(raw: bytes) -> Closing:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _CLOSING.decode(raw)


def decode_row(raw: bytes) -> OutboxRow:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _ROW.decode(raw)
