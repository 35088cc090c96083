"""Each record is input: what is no item is counted and named, and stops nothing."""

from __future__ import annotations

import pytest

from everfresh.adapters.kafka.items import reading
from everfresh.adapters.kafka.items.reading import KafkaItemSource
from everfresh.contracts.items.record import Item, ItemChange, encode_item, item_key
from everfresh.contracts.kafka.security import Brokers
from tests.adapters.kafka.definitions.test_reading import PART, Consumer, Message

Record = tuple[bytes | None, bytes | None]


class Busy(Consumer):
    """Somebody writes between the look at the end and the first poll."""

    def end_offsets(self, _: object) -> dict[object, int]:  # type: ignore[override]
        end = len(self.log)
        self.log.append(Message(end, *record(99)))
        return {PART: end}


def record(item: int) -> Record:
    return item_key(item), encode_item(Item(id=item))


def source_of(monkeypatch: pytest.MonkeyPatch, consumer: Consumer) -> KafkaItemSource:
    monkeypatch.setattr(reading, "connect_consumer", lambda *_, **__: consumer)
    return KafkaItemSource(Brokers("b:9092"), "p.")


def test_a_bad_record_is_counted_and_named_and_the_others_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = [record(1), (b"2", b"garbage"), (None, None), record(3), (item_key(1), None)]
    source = source_of(monkeypatch, Consumer(records))
    changes = [change for batch in source.read_to_end() for change in batch]
    assert changes == [
        ItemChange(1, Item(id=1), offset=0),
        ItemChange(3, Item(id=3), offset=3),
        ItemChange(1, None, offset=4),
    ]
    assert (source.end, source.goal, source.skipped) == (5, 5, 2)
    assert "2 records that are no items, the last at p.items offset 2: it has no key" in (
        source.left_out()
    )


@pytest.mark.parametrize(("begin", "first"), [(0, 1), (1, 2), (2, None), (3, 1)])
def test_a_source_goes_on_from_an_offset_unless_the_topic_is_another(
    begin: int, first: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = Consumer([record(1), record(2)])
    monkeypatch.setattr(reading, "connect_consumer", lambda *_, **__: consumer)
    source = KafkaItemSource(Brokers("b:9092"), "p.", begin)
    changes = [change.id for batch in source.read_to_end() for change in batch]
    assert next(iter(changes), None) == first
    assert source.end == 2


def test_what_is_written_while_the_topic_is_read_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = source_of(monkeypatch, Busy([record(1), record(2)]))
    before = [change.id for batch in source.read_to_end() for change in batch]
    assert (before, source.end) == ([1, 2], 2)
    assert [change.id for change in source.poll(0)] == [99]
    assert source.end == 3


def test_a_reading_up_to_a_time_leaves_what_came_later_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer = Consumer([record(1), record(2), record(3), record(4)])
    # The third was appended first by its clock: order is the log's.
    consumer.log = [
        message._replace(timestamp=at)
        for message, at in zip(consumer.log, (10, 20, 5, 30), strict=True)
    ]
    source = source_of(monkeypatch, consumer)
    reads = [
        [change.id for batch in source.read_to_end(before_ms) for change in batch]
        for before_ms in (10, 20, 30, 30, None)
    ]
    assert reads == [[], [1], [2, 3], [], [4]]
    assert source.end == 4
