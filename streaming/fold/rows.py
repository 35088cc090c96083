"""The fold's own records in a partition's state: the open slice, and the one that is being made."""

from __future__ import annotations

import msgspec

from everfresh.contracts.window import SliceClosed

SLICE_HEAD_FORMAT = 2

NO_LABEL = -1
"""Stands for "none yet": labels are periods since 1970 and never negative."""
NOTHING_SEALED = -1
"""Stands for "none" where an offset is meant."""


class SliceHead(msgspec.Struct, array_like=True):
    """Where the open slice stands. Written with every batch, read on opening.

    ``closed`` is the last closed label, ``label`` the open slice's (``NO_LABEL`` while it has no
    record), ``start`` its first offset. ``period_ms``, ``max_targets``, ``stretch_events`` and
    ``history_events`` (0: history is cut by its periods alone) are those it is cut by; ``fresh``
    counts the accepted events of its open stretch, ``history`` those of the slice that are history.
    ``cut`` is how often slices of this label have been cut for history.
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
    history_events: int = 0
    history: int = 0
    cut: int = 0


class Closing(msgspec.Struct, array_like=True):
    """How far a slice's parts have been made. Absent where no stretch of a slice is sealed yet.

    ``parts`` stand as rows in ``outbox_batch``, which is in the making until the slice is complete.
    Of the sealed stretch, which ends at offset ``upto``, ``examples`` have been made. ``closed`` is
    set once the slice's last stretch is sealed. ``cut`` is the slice's.
    """

    label: int
    max_targets: int
    outbox_batch: int
    parts: int = 0
    upto: int = NOTHING_SEALED
    examples: int = 0
    closed: SliceClosed | None = None
    cut: int = 0


_ENCODER = msgspec.msgpack.Encoder()
_SLICE_HEAD = msgspec.msgpack.Decoder(SliceHead)
_CLOSING = msgspec.msgpack.Decoder(Closing)


def encode(record: SliceHead | Closing) -> bytes:
    """Msgpack bytes."""
    return _ENCODER.encode(record)


def decode_slice_head(raw: bytes) -> SliceHead:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _SLICE_HEAD.decode(raw)


def decode_closing(raw: bytes) -> Closing:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _CLOSING.decode(raw)
