"""One suite for every ``ItemLog`` with its ``ItemSource``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec
import pytest

from everfresh.adapters.kafka.items.reading import KafkaItemSource
from everfresh.adapters.kafka.items.writing import KafkaItemLog
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.memory_items import MemoryItemLog, MemoryItemSource
from everfresh.contracts.items.record import Item, ItemChange
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.ports import ItemLog, ItemSource
from everfresh.contracts.settings import Settings

Opened = tuple[ItemLog, Callable[[], ItemSource]]


@contextlib.contextmanager
def in_memory() -> Iterator[Opened]:
    log = MemoryItemLog()
    log.now_ms = 1_000
    yield log, lambda: MemoryItemSource(log)


@contextlib.contextmanager
def on_kafka(servers: str, settings: Settings) -> Iterator[Opened]:
    brokers, prefix = Brokers(servers), settings.kafka.topic_prefix
    ensure_topics(brokers, settings)
    with contextlib.ExitStack() as closing:
        log = closing.enter_context(KafkaItemLog(brokers, prefix))
        yield log, lambda: closing.enter_context(KafkaItemSource(brokers, prefix))


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def opened(
    request: pytest.FixtureRequest, make_settings: Callable[..., Settings]
) -> Iterator[Opened]:
    if request.param == "memory":
        made = in_memory()
    else:
        made = on_kafka(request.getfixturevalue("kafka").bootstrap_servers, make_settings())
    with made as log:
        yield log


def told(changes: Iterable[ItemChange]) -> list[ItemChange]:
    """Without when the topic got them and where they stand in it, both of which it must say."""
    changes = list(changes)
    assert all(change.appended > 0 for change in changes)
    offsets = [change.offset for change in changes]
    assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    return [msgspec.structs.replace(change, appended=0, offset=-1) for change in changes]


def test_changes_come_in_their_order_before_and_after_the_end_that_was_there(
    opened: Opened,
) -> None:
    log, open_source = opened
    assert log.write([]) == 0
    first = [ItemChange(n, Item(id=n, attributes={"name": f"n{n}"})) for n in range(1_200)]
    assert log.write(first) == 1_200
    source = open_source()
    assert told(each for batch in source.read_to_end() for each in batch) == first
    assert (source.end, source.skipped, source.left_out()) == (1_200, 0, "")
    later = [ItemChange("ü", Item(id="ü", expires=5)), ItemChange(7, None)]
    assert log.write(later) == 1_202
    until, found = time.monotonic() + 240, list[ItemChange]()
    while len(found) < 2 and time.monotonic() < until:
        found += source.poll(200)
    assert (told(found), source.end) == (later, 1_202)


def test_a_reading_up_to_a_time_ends_there_and_the_next_goes_on(opened: Opened) -> None:
    log, open_source = opened
    records = [ItemChange(n, Item(id=n)) for n in range(700)]
    log.write(records)
    source = open_source()
    assert [each for batch in source.read_to_end(1) for each in batch] == []
    assert source.end == 0
    in_an_hour = int(time.time() * 1000) + 3_600_000
    assert told(each for batch in source.read_to_end(in_an_hour) for each in batch) == records
    assert source.end == 700
    assert [each for batch in source.read_to_end(in_an_hour) for each in batch] == []
    log.write(records[:1])
    assert told(each for batch in source.read_to_end() for each in batch) == records[:1]
