"""Segments: the events accepted since the users' sequence values were last written.

A fold writes one segment, however many users it met: a contiguous range of the log as a map from
user to that user's accepted events, each with its offset and append time. So an event is written
once when it arrives, and a user's sequence value once per stretch of the log, not once per fetch.

Written by the stream worker; read by the worker, by replicas and by ``everfresh state``, which
put ``sequence value + segments`` together. A user's run is
part of the state where it begins after the offset in the user's sequence value; the others are in
that value already, as a whole. Segments never change: a name always means the same bytes.
``PartitionMeta.segments`` names those that count; they are few (see :func:`surplus`).

    s + first + end     msgpack map: id bytes -> run, in log order of each user's first event
    run                 row*, in log order
    row                 <q offset> <q append time> entry (as in contracts.sequence)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from everfresh.contracts.event import ItemId
from everfresh.contracts.sequence import INT_ENTRY

SEGMENT_PREFIX = b"s"
"""State keys of segments are this prefix and the two offsets, big-endian."""

INT_ROW = struct.Struct("<qq" + INT_ENTRY.format.removeprefix("<"))
"""A row whose item is an integer, in one go: offset, append time, then as ``INT_ENTRY``."""

_FAN_BITS = 5
_FAN = 1 << _FAN_BITS
_NAME = struct.Struct(">QQ")
_STAMPS = struct.Struct("<qq")
_INT_REST = bytes([INT_ENTRY.size - 1])
_AT_ONCE = 256
_ENCODER = msgspec.msgpack.Encoder()
_RUNS: msgspec.msgpack.Decoder[dict[bytes, bytes]] = msgspec.msgpack.Decoder(dict[bytes, bytes])


class Segment(msgspec.Struct, frozen=True):
    """Offsets ``[first, end)`` of the log, ``events`` of them accepted."""

    first: int
    end: int
    events: int
    runs: dict[bytes, bytes]

    @property
    def name(self) -> tuple[int, int]:
        """What ``PartitionMeta.segments`` calls it."""
        return self.first, self.end

    @property
    def key(self) -> bytes:
        """Its state key."""
        return segment_key(self.name)


class RecentRun(msgspec.Struct, frozen=True):
    """All accepted events of the offsets ``[begin, end)`` of one partition, in that order, as a
    replica reads them from segments.

    ``appended`` are the broker's append times and ``times`` the events' own, UTC ms. An item is
    ``None`` where the event is a refusal (``trainer.refusals``). ``before`` has the item of the
    same user's event before each, refused or not; ``None`` where there is none. ``earlier`` is that
    event's own time, 0 where there is none, and the event's own where that cannot be told.
    """

    partition: int
    begin: int
    end: int
    offsets: Sequence[int]
    appended: Sequence[int]
    items: Sequence[ItemId | None]
    before: Sequence[ItemId | None]
    times: Sequence[int]
    earlier: Sequence[int]


def segment_key(name: tuple[int, int]) -> bytes:
    """The state key of the segment with that name."""
    return SEGMENT_PREFIX + _NAME.pack(*name)


def encode_runs(segment: Segment) -> bytes:
    """The value under the segment's key."""
    return _ENCODER.encode(segment.runs)


def decode_runs(raw: bytes) -> dict[bytes, bytes]:
    """The inverse of :func:`encode_runs`; ``msgspec.DecodeError`` on foreign bytes."""
    return _RUNS.decode(raw)


def encode_row(offset: int, appended: int, entry: bytes) -> bytes:
    """One accepted event, appended at ``appended`` UTC ms."""
    return _STAMPS.pack(offset, appended) + entry


def first_offset(run: bytes) -> int:
    """The offset of a run's first event."""
    offset: int = _STAMPS.unpack_from(run)[0]
    return offset


def split(run: bytes) -> tuple[bytes, list[int], list[int]]:
    """The entries of a run without their stamps, and the stamps: offsets, append times."""
    begin, size = _STAMPS.size, INT_ROW.size
    number, rest = divmod(len(run), size)
    if not rest and run[begin::size] == _INT_REST * number:  # rows of one length, all of them
        fields: list[Any] = []
        for at in range(0, len(run), _AT_ONCE * size):
            fields += _int_rows(min(_AT_ONCE, number - at // size)).unpack_from(run, at)
        return b"".join(fields[2::3]), fields[::3], fields[1::3]
    stamps, parts, at = [], [], 0
    while at < len(run):
        end = at + begin + 1 + run[at + begin]
        stamps.append(_STAMPS.unpack_from(run, at))
        parts.append(run[at + begin : end])
        at = end
    return b"".join(parts), [offset for offset, _ in stamps], [moment for _, moment in stamps]


@cache
def _int_rows(number: int) -> struct.Struct:
    return struct.Struct("<" + f"qq{INT_ENTRY.size}s" * number)


def merged(segments: Sequence[Segment]) -> Segment:
    """Consecutive segments as one."""
    runs: dict[bytes, list[bytes]] = {}
    for segment in segments:
        for user, run in segment.runs.items():
            runs.setdefault(user, []).append(run)
    return Segment(
        segments[0].first,
        segments[-1].end,
        sum(segment.events for segment in segments),
        {user: b"".join(parts) for user, parts in runs.items()},
    )


def surplus(sizes: Sequence[int]) -> int:
    """How many of the last segments, by their numbers of events, should become one; 0 for none.

    32 of about one size become one that is 32 times as large. So an event is rewritten at most
    ``log32`` of a stretch times, and a reader looks into at most 31 segments per size.
    """
    tiers = [size.bit_length() // _FAN_BITS for size in sizes]
    for tier in sorted(set(tiers)):
        trailing = 0
        for other in reversed(tiers):
            if other > tier:
                break
            trailing += 1
        if trailing >= _FAN:
            return trailing
    return 0
