"""Follows the topics that views show: window reports, component status and exposures, decoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import msgspec
from kafka import TopicPartition
from kafka.errors import KafkaError

from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.exposure import Exposure, decode_exposure
from everfresh.contracts.report import (
    ComponentStatus,
    WindowReport,
    decode_status,
    decode_window_report,
)
from everfresh.contracts.topics import EXPOSURES, REPORTS, STATUS, TopicSpec, topic_name

ObservedRecord = WindowReport | ComponentStatus | Exposure

_DECODERS: dict[str, Callable[[bytes], ObservedRecord]] = {
    REPORTS.name: decode_window_report,
    STATUS.name: decode_status,
    EXPOSURES.name: decode_exposure,
}
_READ_SECONDS = 20.0


class RecordTail:
    """Follows some of ``reports``, ``status`` and ``exposures``. Used by one thread.

    Starts at the beginning of each topic. With ``from_end`` it starts after the last record that
    is there now.
    ``skipped`` counts records that could not be decoded. A context manager.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic_prefix: str,
        specs: Iterable[TopicSpec] = (REPORTS, STATUS),
        *,
        from_end: bool = False,
    ) -> None:
        self._servers = bootstrap_servers
        self._decoders = {topic_name(topic_prefix, spec): _DECODERS[spec.name] for spec in specs}
        self._consumer = connect_consumer(bootstrap_servers, self._decoders)
        self.skipped = 0
        if from_end:
            self._consumer.seek_to_end()
            for part in self._consumer.assignment():
                # Resolves the end now, so that every later record is seen.
                self._consumer.position(part)
        else:
            self._consumer.seek_to_beginning()

    def poll(self, timeout_ms: int = 200) -> list[ObservedRecord]:
        """New records, in order per partition; empty after the timeout."""
        try:
            batches = self._consumer.poll(timeout_ms=timeout_ms)
        except KafkaError as error:
            raise Unreachable(
                f"records cannot be read at {self._servers}: {error}; check that the broker is up"
            ) from None
        return [
            record
            for part, messages in batches.items()
            for message in messages
            if (record := self._decode(part, message.value)) is not None
        ]

    def read_to_end(self) -> list[ObservedRecord]:
        """All records up to the end of the topics as it is now; for small topics."""
        until = time.monotonic() + _READ_SECONDS
        ends = self._consumer.end_offsets(self._consumer.assignment())
        out: list[ObservedRecord] = []
        while any(self._consumer.position(part) < end for part, end in ends.items()):
            if time.monotonic() > until:
                raise Unreachable(
                    f"{', '.join(self._decoders)} could not be read to the end within "
                    f"{_READ_SECONDS:.0f} s; check the broker at {self._servers}"
                )
            out.extend(self.poll(200))
        return out

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _decode(self, part: TopicPartition, value: bytes | None) -> ObservedRecord | None:
        try:
            return self._decoders[part.topic](value or b"")
        except msgspec.MsgspecError:
            self.skipped += 1
            return None
