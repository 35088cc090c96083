"""What is read of `status`, on a consumer that is given its log and what comes later."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError

from everfresh.adapters.kafka.presence import other_trainers as room
from everfresh.adapters.kafka.presence.other_trainers import OtherTrainers
from everfresh.contracts.errors import RunError, Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import ComponentStatus, encode_report

PART = TopicPartition("t.status", 0)
OURS, THEIRS = "host-a:/home#1", "host-b:/\x1b[31msrv#2"


def record(place: str, appended_ms: int, state: str = "running") -> Any:
    status = ComponentStatus("trainer", "trainer", 1, state, {}, place)
    return SimpleNamespace(value=encode_report(status), timestamp=appended_ms, offset=0)


class Consumer:
    """Holds ``log``; each later poll gives what ``comes`` next, or raises it."""

    def __init__(self, log: list[Any], comes: Iterator[Any]) -> None:
        self.log, self.comes = log, comes
        self.at, self.sought, self.closed = 0, -1, False

    def assignment(self) -> set[TopicPartition]:
        return {PART}

    def beginning_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, 0)

    def end_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, len(self.log))

    def seek(self, part: TopicPartition, offset: int) -> None:
        self.at = self.sought = offset

    def position(self, part: TopicPartition) -> int:
        return self.at

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        if self.at < len(self.log):
            records, self.at = self.log[self.at :], len(self.log)
            return {PART: records}
        came = next(self.comes, [])
        if isinstance(came, Exception):
            raise came
        return {PART: came}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Any:
    def others(log: list[Any], comes: list[Any]) -> tuple[OtherTrainers, Consumer]:
        consumer = Consumer(log, iter(comes))
        monkeypatch.setattr(room, "connect_consumer", lambda *_: consumer)
        return OtherTrainers(Brokers("kafka:9092"), "t.", OURS), consumer

    return others


def test_one_that_writes_on_is_refused_by_its_home_and_what_to_do(opened: Any) -> None:
    junk = SimpleNamespace(value=b"{", timestamp=1, offset=0)
    comes = [[], [record(THEIRS, 1_000), junk], [record(THEIRS, 2_000)]]
    others, _ = opened([junk, record(THEIRS, 500)], comes)
    with pytest.raises(RunError) as refused:
        others.require_none(60.0)
    assert str(refused.value) == (
        r"another trainer has this loop, that of home host-b:/\x1b[31msrv: it writes to t.status "
        "at kafka:9092 all the while, and two would share the users between their workers and "
        "publish against each other; stop that everfresh first, start this one with --follow to "
        "answer beside it, or set another kafka.topic_prefix"
    )


@pytest.mark.parametrize("log", [[], [record(OURS, 1)], [record(THEIRS, 1, "stopped")]])
def test_where_nobody_else_was_left_running_nothing_is_waited_for(
    opened: Any, log: list[Any]
) -> None:
    others, consumer = opened(log, [RuntimeError("not asked")])
    others.require_none(60.0)
    assert list(consumer.comes), "nothing was read but what stood there"


def test_only_the_end_of_a_long_topic_is_read(opened: Any) -> None:
    _, consumer = opened([record(OURS, 1)] * 5_000, [])
    assert consumer.sought == 4_000


def test_an_outage_ends_no_trainer_that_runs(opened: Any) -> None:
    others, _ = opened([], [KafkaConnectionError("away"), [record(THEIRS, 1)]])
    for _ in range(3):
        others.look()


def test_a_topic_that_cannot_be_read_is_let_go(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Unreadable(Consumer):
        def end_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
            raise KafkaConnectionError("away")

    consumer = Unreadable([], iter([]))
    monkeypatch.setattr(room, "connect_consumer", lambda *_: consumer)
    with pytest.raises(Unreachable):
        OtherTrainers(Brokers("kafka:9092"), "t.", OURS)
    assert consumer.closed
    assert room.other_trainers(Brokers("kafka:9092"), "t.", OURS) is None
    assert "whether another trainer has this loop cannot be told" in caplog.text
