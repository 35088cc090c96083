"""Makes dead letters of what was not accepted (law 9).

:mod:`everfresh.contracts.dead_letter` reads them.
"""

from __future__ import annotations

from typing import Protocol

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
from everfresh.contracts.event_codec import Headers
from everfresh.contracts.topics import DEAD_LETTERS
from everfresh.streaming.state.key_layout import OutboxRow

MAX_ORIGINAL_BYTES = 7 * 1024 * 1024
"""Of longer records, key, headers and value together are cut to this, with their full length in
``dead_cut_from``; the dead-letter topic takes records of 8 MiB. Only a compressed batch can bring
in a record this long."""

_DETAIL_CHARACTERS = 500
_HEADER_FRAME_BYTES = 10  # the lengths beside a header's name and value, at most


class Record(Protocol):
    """What the log hands over: offset, broker append time in UTC ms, and the bytes."""

    @property
    def offset(self) -> int: ...  # noqa: D102 - named by the class
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Headers: ...  # noqa: D102


class PlacedRecord(Record, Protocol):
    """A record that says itself where it stands in the log."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - named by the class
    @property
    def partition(self) -> int: ...  # noqa: D102


def dead_letter(record: PlacedRecord, cause: EventRejected) -> OutboxRow:
    """The dead letter of a record that was rejected for ``cause``."""
    return letter_from(record.topic, record.partition, record, cause)


def letter_from(topic: str, partition: int, record: Record, cause: EventRejected) -> OutboxRow:
    """The same for a record of that partition which does not say so itself."""
    added = {
        DEAD_TOPIC: topic,
        DEAD_PARTITION: str(partition),
        DEAD_OFFSET: str(record.offset),
        DEAD_TIMESTAMP: str(record.timestamp),
        DEAD_REASON: cause.reason,
        DEAD_DETAIL: cause.detail[:_DETAIL_CHARACTERS],
    }
    # A header may have no value at all; b"" is the nearest thing that every client can read.
    kept = [(name, content or b"") for name, content in record.headers]
    key, value = record.key, record.value
    length = len(key or b"") + len(value or b"") + sum(map(_header_bytes, kept))
    if length > MAX_ORIGINAL_BYTES:
        added[DEAD_CUT_FROM] = str(length)
        key, kept, value = _cut(key, kept, value)
    headers = kept + [(name, text.encode(errors="replace")) for name, text in added.items()]
    return OutboxRow(DEAD_LETTERS.name, None, key, value, headers)


def _cut(
    key: bytes | None, headers: list[tuple[str, bytes]], value: bytes | None
) -> tuple[bytes | None, list[tuple[str, bytes]], bytes | None]:
    """The beginning of each, key before headers before value, as far as there is room."""
    room = MAX_ORIGINAL_BYTES
    key = key and key[:room]
    room -= len(key or b"")
    kept: list[tuple[str, bytes]] = []
    for header in headers:
        room -= _header_bytes(header)
        if room < 0:
            return key, kept, value and b""
        kept.append(header)
    return key, kept, value and value[:room]


def _header_bytes(header: tuple[str, bytes]) -> int:
    return len(header[0].encode(errors="replace")) + len(header[1]) + _HEADER_FRAME_BYTES
