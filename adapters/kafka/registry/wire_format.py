"""Confluent's wire format: a zero, the schema's id in four bytes, then the value."""

from __future__ import annotations

import struct

from everfresh.contracts.errors import EventRejected

_HEAD = struct.Struct(">bI")


def is_framed(value: bytes) -> bool:
    """Whether a value begins as in the wire format; no JSON does."""
    return len(value) >= _HEAD.size and value[0] == 0


def split(value: bytes) -> tuple[int, bytes]:
    """The schema's id and what follows it; ``EventRejected`` for other bytes."""
    if not is_framed(value):
        raise EventRejected(
            "wire_format",
            f"a zero byte and a schema id were expected (Confluent's wire format), found "
            f"{value[:8]!r}; look at the source's format",
        )
    return int(_HEAD.unpack_from(value)[1]), value[_HEAD.size :]


def message_path(body: bytes) -> tuple[list[int], bytes]:
    """Protobuf: which message of the schema's file it is (indexes from outside to inside), and the
    message. ``EventRejected`` for other bytes."""
    try:
        count, at = _zigzag(body, 0)
        if count == 0:  # short for the first message
            return [0], body[at:]
        if not 0 < count <= len(body):
            raise ValueError
        path = []
        for _ in range(count):
            index, at = _zigzag(body, at)
            path.append(index)
        return path, body[at:]
    except (IndexError, ValueError):
        raise EventRejected(
            "wire_format", f"the index of a Protobuf message was expected, found {body[:8]!r}"
        ) from None


def _zigzag(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = raw[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
        if shift > 35:
            raise ValueError
