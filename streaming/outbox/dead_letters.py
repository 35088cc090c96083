"""Makes dead letters of records that were not accepted (law 9).

:mod:`everfresh.contracts.dead_letter` reads them.
"""

from __future__ import annotations

from everfresh.contracts.dead_letter import (
    DEAD_CUT_FROM,
    DEAD_DETAIL,
    DEAD_OFFSET,
    DEAD_PARTITION,
    DEAD_REASON,
    DEAD_TIMESTAMP,
    DEAD_TOPIC,
)
from everfresh.contracts.errors import EventRejected
from everfresh.contracts.topics import DEAD_LETTERS
from everfresh.streaming.log.records import PlacedRecord, Record
from everfresh.streaming.outbox.rows import OutboxRow

MAX_ORIGINAL_BYTES = 7 * 1024 * 1024
"""Of longer records, key, headers and value together are cut to this, with their full length in
``dead_cut_from``; the dead-letter topic takes records of 8 MiB. Only a compressed batch can bring
in a record this long."""

_DETAIL_CHARACTERS = 500
_HEADER_FRAME_BYTES = 10  # the lengths beside a header's name and value, at most


def dead_letter(record: PlacedRecord, cause: EventRejected) -> OutboxRow:
    """The dead letter of a record that names its own place, rejected for ``cause``."""
    return dead_letter_at(record.topic, record.partition, record, cause)


def dead_letter_at(topic: str, partition: int, record: Record, cause: EventRejected) -> OutboxRow:
    """The dead letter of a record of that topic and partition, which does not name them itself."""
    origin = {
        DEAD_TOPIC: topic,
        DEAD_PARTITION: str(partition),
        DEAD_OFFSET: str(record.offset),
        DEAD_TIMESTAMP: str(record.timestamp),
        DEAD_REASON: cause.reason,
        DEAD_DETAIL: cause.detail[:_DETAIL_CHARACTERS],
    }
    # A header may have no value at all; b"" is the nearest thing that every client can read.
    headers = [(name, content or b"") for name, content in record.headers]
    key, value = record.key, record.value
    length = len(key or b"") + len(value or b"") + sum(map(_header_bytes, headers))
    if length > MAX_ORIGINAL_BYTES:
        origin[DEAD_CUT_FROM] = str(length)
        key, headers, value = _cut(key, headers, value)
    headers += [(name, text.encode(errors="replace")) for name, text in origin.items()]
    return OutboxRow(DEAD_LETTERS.name, None, key, value, headers)


def _cut(
    key: bytes | None, headers: list[tuple[str, bytes]], value: bytes | None
) -> tuple[bytes | None, list[tuple[str, bytes]], bytes | None]:
    """The beginning of each, key before headers before value, as far as there is room."""
    room = MAX_ORIGINAL_BYTES
    key = key and key[:room]
    room -= len(key or b"")
    fitting: list[tuple[str, bytes]] = []
    for header in headers:
        room -= _header_bytes(header)
        if room < 0:
            return key, fitting, value and b""
        fitting.append(header)
    return key, fitting, value and value[:room]


def _header_bytes(header: tuple[str, bytes]) -> int:
    return len(header[0].encode(errors="replace")) + len(header[1]) + _HEADER_FRAME_BYTES
