"""Makes dead letters of what was not accepted (law 9); :mod:`contracts.dead_letter` reads them."""

from __future__ import annotations

from typing import Protocol

from contracts.dead_letter import (
    DEAD_CUT_FROM,
    DEAD_DETAIL,
    DEAD_OFFSET,
    DEAD_PARTITION,
    DEAD_REASON,
    DEAD_TIMESTAMP,
    DEAD_TOPIC,
)
from contracts.errors import EventRejected
from contracts.topics import DEAD_LETTERS
from streaming.decode import Headers
from streaming.layout import OutboxRow

MAX_VALUE_BYTES = 7 * 1024 * 1024
"""Longer values are cut to this, with the full length in ``dead_cut_from``; the dead-letter topic
takes records of 8 MiB. Only a compressed batch can bring in a value this long."""

_DETAIL_CHARACTERS = 500


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
    value = record.value
    added = {
        DEAD_TOPIC: topic,
        DEAD_PARTITION: str(partition),
        DEAD_OFFSET: str(record.offset),
        DEAD_TIMESTAMP: str(record.timestamp),
        DEAD_REASON: cause.reason,
        DEAD_DETAIL: cause.detail[:_DETAIL_CHARACTERS],
    }
    if value is not None and len(value) > MAX_VALUE_BYTES:
        added[DEAD_CUT_FROM] = str(len(value))
        value = value[:MAX_VALUE_BYTES]
    # A header may have no value at all; b"" is the nearest thing that every client can read.
    kept = [(name, content or b"") for name, content in record.headers]
    headers = kept + [(name, text.encode(errors="replace")) for name, text in added.items()]
    return OutboxRow(DEAD_LETTERS.name, None, record.key, value, headers)
