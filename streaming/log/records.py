"""Records as the log hands them over and as it takes them; the forms that all rooms share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from everfresh.contracts.event_codec import Headers

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""The longest record that the windows, outcomes and dead-letter topics accept."""


class Record(Protocol):
    """A record that was read: offset, broker append time in UTC ms, and the bytes."""

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
    """A record that also names its topic and partition."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - named by the class
    @property
    def partition(self) -> int: ...  # noqa: D102


class FetchedRecord(Record, Protocol):
    """A record of the events topic as the Kafka client parses it."""

    @property
    def timestamp_type(self) -> int: ...  # noqa: D102 - 0 the producer's time, 1 the broker's


class Fetch(msgspec.Struct, frozen=True):
    """The records of one partition that one poll returned: at least one, in log order."""

    partition: int
    records: list[FetchedRecord]


class OutgoingRecord(Protocol):
    """A record to send. ``topic`` is a name of the topic table, without the prefix."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - named by the class
    @property
    def partition(self) -> int | None: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102
