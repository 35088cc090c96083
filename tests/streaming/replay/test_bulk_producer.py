"""What a backfill's producer says where events do not reach the log; its library only pretends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from everfresh.contracts.errors import DeliveryError
from everfresh.contracts.event import Event
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity
from everfresh.streaming.replay import bulk_producer
from everfresh.streaming.replay.bulk_producer import BulkProducer

EVENT = Event("e1", "view", 1, 7, 3)
DENIED = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "Broker: Topic authorization failed")


class Message:
    """Where an event stands in the log."""

    def partition(self) -> int:
        return 2

    def offset(self) -> int:
        return 5


class Library:
    """Has room for one event; ``hear`` is what a poll or a flush does with those that wait."""

    def __init__(self, hear: Callable[[list[Any]], None]) -> None:
        self._hear = hear
        self.waiting: list[Any] = []
        self.purged = False

    def produce(
        self, topic: str, value: bytes, key: bytes, *, headers: Any, on_delivery: Any
    ) -> None:
        if self.waiting:
            raise BufferError
        self.waiting.append(on_delivery)

    def poll(self, timeout: float) -> int:
        self._hear(self.waiting)
        return 0

    def flush(self, timeout: float) -> int:
        self._hear(self.waiting)
        return len(self.waiting)

    def purge(self) -> None:
        self.purged = True


def producer(
    monkeypatch: pytest.MonkeyPatch, hear: Callable[[list[Any]], None]
) -> tuple[BulkProducer, Library, list[tuple[int, int]]]:
    library, places = Library(hear), list[tuple[int, int]]()
    monkeypatch.setattr(bulk_producer, "require_broker", lambda _: None)
    monkeypatch.setattr(bulk_producer, "Producer", lambda _: library)
    at = Brokers("127.0.0.1:9092", KafkaSecurity())
    made = BulkProducer(at, "events", 100, lambda *place: places.append(place))
    return made, library, places


def test_it_tells_where_each_event_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    def hear(waiting: list[Any]) -> None:
        while waiting:
            waiting.pop()(None, Message())

    made, _, places = producer(monkeypatch, hear)
    made.send(EVENT)
    made.send(EVENT)
    made.flush()
    assert places == [(2, 5), (2, 5)]


@pytest.mark.parametrize("second", [BulkProducer.flush, lambda made: made.send(EVENT)])
def test_a_right_that_is_missing_is_named_though_the_library_raises_while_it_waits(
    monkeypatch: pytest.MonkeyPatch, second: Callable[[BulkProducer], None]
) -> None:
    def hear(waiting: list[Any]) -> None:
        raise KafkaException(DENIED)

    made, library, _ = producer(monkeypatch, hear)
    made.send(EVENT)
    with pytest.raises(DeliveryError, match="Write on topic events"), made:
        second(made)
    assert library.purged


def test_what_is_not_answered_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _, _ = producer(monkeypatch, lambda waiting: None)
    made.send(EVENT)
    with pytest.raises(DeliveryError, match=r"1 events did not reach topic events.*no answer"):
        made.flush()
