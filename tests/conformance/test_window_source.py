"""One suite for every ``WindowSource``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaProducer

from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.kafka.window_source import KafkaWindowSource
from everfresh.adapters.memory import MemoryWindowSource
from everfresh.contracts.errors import LogMismatch
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.ports import WindowSource
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import WINDOWS, topic_name
from everfresh.contracts.window import FORMAT, Example, SliceClosed, SlicePart, SliceRecord
from everfresh.contracts.window import encode_slice_record as encode

PARTITIONS = 3
Read = tuple[int, int, SliceRecord]


class Memory:
    def __init__(self) -> None:
        self.log: dict[int, list[SliceRecord]] = {number: [] for number in range(PARTITIONS)}
        self.source: WindowSource = MemoryWindowSource(self.log)

    def append(self, partition: int, record: SliceRecord) -> None:
        self.log[partition].append(record)

    def another(self) -> WindowSource:
        return MemoryWindowSource(self.log)

    def close(self) -> None:
        """Nothing is open."""


class Kafka:
    def __init__(self, servers: str, settings: Settings) -> None:
        ensure_topics(Brokers(servers), settings)
        self._servers, self._prefix = servers, settings.kafka.topic_prefix
        self._producer = KafkaProducer(bootstrap_servers=servers, max_request_size=8_000_000)
        self._opened: list[KafkaWindowSource] = []
        self.source = self.another()

    def append(self, partition: int, record: SliceRecord) -> None:
        topic = topic_name(self._prefix, WINDOWS)
        self._producer.send(topic, encode(record), partition=partition).get(timeout=240)

    def another(self) -> WindowSource:
        self._opened.append(KafkaWindowSource(Brokers(self._servers), self._prefix))
        return self._opened[-1]

    def close(self) -> None:
        self._producer.close()
        for source in self._opened:
            source.close()


Log = Memory | Kafka


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def log(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> Iterator[Log]:
    opened: Log
    if request.param == "memory":
        opened = Memory()
    else:
        servers = request.getfixturevalue("kafka").bootstrap_servers
        opened = Kafka(servers, make_settings(kafka={"partitions": PARTITIONS}))
    yield opened
    opened.close()


def closed(label: int) -> SliceClosed:
    return SliceClosed(FORMAT, 0, label, 0, 0, 0, 0, 0, "")


def take(source: WindowSource, number: int) -> list[Read]:
    """Poll until ``number`` records came; more would show in the comparison."""
    out: list[Read] = []
    for _ in range(50):
        out.extend(source.poll(200))
        if len(out) >= number:
            break
    return out


def test_all_partitions_are_named_in_order(log: Log) -> None:
    assert log.source.partitions() == list(range(PARTITIONS))


def test_nothing_new_is_an_empty_poll(log: Log) -> None:
    assert log.source.poll(50) == []


def test_reading_starts_at_the_beginning_and_keeps_the_order_of_each_partition(log: Log) -> None:
    for label in range(5):
        log.append(label % 2, closed(label))
    got = take(log.source, 5)
    assert [read for read in got if read[0] == 0] == [
        (0, 0, closed(0)),
        (0, 1, closed(2)),
        (0, 2, closed(4)),
    ]
    assert [read for read in got if read[0] == 1] == [(1, 0, closed(1)), (1, 1, closed(3))]
    assert log.source.poll(50) == []


def test_what_comes_later_is_read_once(log: Log) -> None:
    log.append(0, closed(1))
    assert take(log.source, 1) == [(0, 0, closed(1))]
    log.append(0, closed(2))
    assert take(log.source, 1) == [(0, 1, closed(2))]


def test_seek_continues_at_the_positions_and_at_the_beginning_of_others(log: Log) -> None:
    for label in range(3):
        log.append(0, closed(label))
        log.append(1, closed(10 + label))
    later = log.another()
    later.seek({0: 2})
    got = take(later, 4)
    assert [read for read in got if read[0] == 0] == [(0, 2, closed(2))]
    assert [read for read in got if read[0] == 1] == [(1, at, closed(10 + at)) for at in range(3)]


def test_seek_to_the_end_waits_for_what_comes(log: Log) -> None:
    log.append(0, closed(1))
    log.source.seek({0: 1})
    assert log.source.poll(50) == []
    log.append(0, closed(2))
    assert take(log.source, 1) == [(0, 1, closed(2))]


def test_seek_goes_back_too(log: Log) -> None:
    log.append(0, closed(1))
    assert take(log.source, 1) == [(0, 0, closed(1))]
    log.source.seek({})
    assert take(log.source, 1) == [(0, 0, closed(1))]


def test_parts_of_several_megabytes_come_whole(log: Log) -> None:
    example = Example("u", b"c" * 3_000_000, b"t" * 3_000_000, [1], [2])
    part = SlicePart(0, 1, 0, ["view"], [example])
    log.append(0, part)
    log.append(0, closed(1))
    assert take(log.source, 2) == [(0, 0, part), (0, 1, closed(1))]


def test_a_partition_that_does_not_exist_is_a_mismatch(log: Log) -> None:
    with pytest.raises(LogMismatch, match=f"partition {PARTITIONS}"):
        log.source.seek({PARTITIONS: 0})


def test_an_offset_the_log_does_not_have_is_a_mismatch_and_never_guessed_over(log: Log) -> None:
    log.append(0, closed(1))
    log.source.seek({0: 7})
    with pytest.raises(LogMismatch):
        take(log.source, 1)
