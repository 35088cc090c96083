"""The outbox's rows in a partition's state: one record to send under each key.

The key is ``o``, the number of the row's batch and the row's number in it, both big-endian.
"""

from __future__ import annotations

import struct

import msgspec

from everfresh.streaming.state.key_layout import OUTBOX_PREFIX

_BATCH = struct.Struct(">Q")
_BATCH_AND_ROW = struct.Struct(">QI")


class OutboxRow(msgspec.Struct, frozen=True, array_like=True):
    """One record to send. ``topic`` is a name of the topic table, without the prefix."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(OutboxRow)


def batch_prefix(batch: int) -> bytes:
    """The common start of the keys of a batch's rows."""
    return OUTBOX_PREFIX + _BATCH.pack(batch)


def row_key(batch: int, row: int) -> bytes:
    """The key of one row of a batch."""
    return OUTBOX_PREFIX + _BATCH_AND_ROW.pack(batch, row)


def batch_of(key: bytes) -> int:
    """The batch number in a row's key."""
    batch: int = _BATCH_AND_ROW.unpack(key[len(OUTBOX_PREFIX) :])[0]
    return batch


def encode_outbox_row(row: OutboxRow) -> bytes:
    """Msgpack bytes."""
    return _ENCODER.encode(row)


def decode_outbox_row(raw: bytes) -> OutboxRow:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _DECODER.decode(raw)
