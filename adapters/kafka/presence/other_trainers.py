"""One loop has one trainer: refuses to start beside another, or to go on beside an older one."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from kafka import TopicPartition

from everfresh.adapters.kafka.consumers import Closing, connect_consumer, read_until, reading
from everfresh.adapters.kafka.presence.sightings import Sightings
from everfresh.contracts.errors import ForeignRecord, RunError, Unreachable
from everfresh.contracts.foreign import printable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import ComponentStatus, decode_status
from everfresh.contracts.topics import STATUS, topic_name

WATCH_S = 6.0
"""How long to look for a sign of life of a trainer that has not said that it stopped."""
_LAST = 1_000  # records: some minutes of a loop, some seconds of one with very many parts
_POLL_MS = 200
_log = logging.getLogger("everfresh.trainer")


class OtherTrainers(Closing):
    """Looks into ``status`` for trainers of other homes than ``place``. Used by one thread."""

    def __init__(self, brokers: Brokers, topic_prefix: str, place: str) -> None:
        """``Unreachable`` where no broker answers, or the topic is missing or may not be read."""
        self._brokers, self._topic = brokers, topic_name(topic_prefix, STATUS)
        self._sightings = Sightings(place)
        self._consumer = connect_consumer(brokers, [self._topic])
        try:
            self._read_last()
        except BaseException:
            self._consumer.close()
            raise

    def require_none(self, watch_s: float = WATCH_S) -> None:
        """``RunError`` where one is alive; it takes ``watch_s`` where one may have been killed."""
        until = time.monotonic() + watch_s
        while self._sightings.suspected and time.monotonic() < until:
            for other in self._alive(_POLL_MS):
                raise RunError(self._refusal(other))

    def look(self) -> None:
        """``RunError`` where one that was there before ours is alive; call it now and then."""
        with contextlib.suppress(Unreachable):
            for other in self._alive(0):
                if self._sightings.is_older(other):
                    raise RunError(self._refusal(other))

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()

    def _read_last(self) -> None:
        with reading(self._topic, self._brokers):
            parts = list(self._consumer.assignment())
            begins = self._consumer.beginning_offsets(parts)
            ends = self._consumer.end_offsets(parts)
            for part, end in ends.items():
                self._consumer.seek(part, max(begins[part], end - _LAST))
            for _, records in read_until(self._consumer, ends):
                for status, _ in _decoded(records):
                    self._sightings.stood(status)

    def _alive(self, timeout_ms: int) -> Iterator[ComponentStatus]:
        with reading(self._topic, self._brokers):
            batches: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=timeout_ms)
        for records in batches.values():
            for status, appended_ms in _decoded(records):
                if other := self._sightings.came(status, appended_ms):
                    yield other

    def _refusal(self, other: ComponentStatus) -> str:
        place = printable(other.place.rpartition("#")[0])
        whose = f"that of home {place}" if place else "one of an earlier release"
        return (
            f"another trainer has this loop, {whose}: it writes to {self._topic} at "
            f"{self._brokers} all the while, and two would share the users between their workers "
            "and publish against each other; stop that everfresh first, start this one with "
            "--follow to answer beside it, or set another kafka.topic_prefix"
        )


def other_trainers(brokers: Brokers, topic_prefix: str, place: str) -> OtherTrainers | None:
    """The same, once none is alive; ``None`` where the topic cannot be read, which is logged."""
    try:
        others = OtherTrainers(brokers, topic_prefix, place)
    except Unreachable as error:
        _log.warning("whether another trainer has this loop cannot be told: %s", error)
        return None
    try:
        others.require_none()
    except Unreachable as error:
        _log.warning("whether another trainer has this loop cannot be told: %s", error)
    except BaseException:
        others.close()
        raise
    return others


def _decoded(records: list[Any]) -> Iterator[tuple[ComponentStatus, int]]:
    for record in records:
        with contextlib.suppress(ForeignRecord):  # also that of a component that was forgotten
            yield decode_status(record.value), record.timestamp
