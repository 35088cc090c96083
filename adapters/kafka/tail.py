"""Follows the topics that views show: window reports, component status and exposures, decoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from kafka import TopicPartition

from everfresh.adapters.kafka.consumers import Closing, connect_consumer, read_until, reading
from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.event import user_key
from everfresh.contracts.exposure import Exposure, decode_exposure
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import (
    ComponentStatus,
    WindowReport,
    decode_status,
    decode_window_report,
)
from everfresh.contracts.topics import EXPOSURES, REPORTS, STATUS, TopicSpec, topic_name

ObservedRecord = WindowReport | ComponentStatus | Exposure

_DECODERS: dict[str, Callable[[bytes | None], ObservedRecord]] = {
    REPORTS.name: decode_window_report,
    STATUS.name: decode_status,
    EXPOSURES.name: decode_exposure,
}
_APPEND_TIME = 1
_AHEAD_MS = 3_600_000  # of this machine's clock: from then on a status is not believed


class RecordTail(Closing):
    """Follows some of ``reports``, ``status`` and ``exposures``. Used by one thread.

    Starts at the beginning of each topic. With ``from_end`` it starts after the last record that
    is there now; with ``last`` it starts so many records before each end, but reads all of
    ``status``, which keeps one of each component. A context manager.

    ``skipped`` counts records that everfresh did not write: those that do not decode, have another
    key than they should, or come from the future, where they would never grow old.
    """

    def __init__(
        self,
        brokers: Brokers,
        topic_prefix: str,
        specs: Sequence[TopicSpec] = (REPORTS, STATUS),
        *,
        from_end: bool = False,
        last: int = 0,
    ) -> None:
        self._brokers = brokers
        self._decoders = {topic_name(topic_prefix, spec): _DECODERS[spec.name] for spec in specs}
        self._topics = ", ".join(self._decoders)
        self._status = topic_name(topic_prefix, STATUS)
        self._consumer = connect_consumer(brokers, self._decoders)
        self.skipped = 0
        self._last_skipped = ""
        if from_end:
            with reading(self._topics, brokers):
                self._consumer.seek_to_end()
                for part in self._consumer.assignment():
                    # Resolves the end now, so that every later record is seen.
                    self._consumer.position(part)
        else:
            self._consumer.seek_to_beginning()
            if last:
                self._skip_to_last(last)

    def poll(self, timeout_ms: int = 200) -> list[ObservedRecord]:
        """New records, in order per partition; empty after the timeout."""
        with reading(self._topics, self._brokers):
            batches = self._consumer.poll(timeout_ms=timeout_ms)
        return [
            record for part, messages in batches.items() for record in self._decoded(part, messages)
        ]

    def read_to_end(self) -> list[ObservedRecord]:
        """All records up to the end of the topics as it is now; for small topics."""
        with reading(self._topics, self._brokers):
            ends = self._consumer.end_offsets(self._consumer.assignment())
            return [
                record
                for part, messages in read_until(self._consumer, ends)
                for record in self._decoded(part, messages)
            ]

    def left_out(self) -> str:
        """One line on what was skipped and where the last of it stands; empty for nothing."""
        if not self.skipped:
            return ""
        return (
            f"left out: {self.skipped:,} records that everfresh did not write, the last at "
            f"{self._last_skipped}"
        )

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()

    def _skip_to_last(self, number: int) -> None:
        parts = [part for part in self._consumer.assignment() if part.topic != self._status]
        with reading(self._topics, self._brokers):
            begins = self._consumer.beginning_offsets(parts)
            for part, end in self._consumer.end_offsets(parts).items():
                self._consumer.seek(part, max(begins[part], end - number))

    def _decoded(self, part: TopicPartition, messages: Iterable[Any]) -> Iterator[ObservedRecord]:
        for message in messages:
            if part.topic == self._status and message.value is None:
                continue  # somebody made Kafka forget a component
            try:
                yield self._checked(part.topic, message)
            except ForeignRecord as error:
                self.skipped += 1
                self._last_skipped = (
                    f"{part.topic} partition {part.partition} offset {message.offset}: {error}"
                )

    def _checked(self, topic: str, message: Any) -> ObservedRecord:
        record = self._decoders[topic](message.value)
        if message.key != _key(record):
            raise ForeignRecord("its key does not name what its value tells of")
        if isinstance(record, ComponentStatus):
            ahead_ms = record.time - time.time_ns() // 1_000_000
            if ahead_ms > _AHEAD_MS:
                raise ForeignRecord(f"its time lies {ahead_ms // 1000} s in the future")
            if message.timestamp_type == _APPEND_TIME:
                # No component was there after the broker had its status.
                return msgspec.structs.replace(record, time=min(record.time, message.timestamp))
        return record


def _key(record: ObservedRecord) -> bytes:
    if isinstance(record, WindowReport):
        return str(record.label).encode()
    if isinstance(record, ComponentStatus):
        return record.component.encode()
    return user_key(record.user_id)
