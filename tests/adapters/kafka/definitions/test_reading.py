"""Each record is input: what defines nothing is counted, and the last good definition stays."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from kafka import TopicPartition

from everfresh.adapters.kafka.definitions import reading
from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.contracts.experiments.definition import (
    Arm,
    Definition,
    Namespace,
    encode_definition,
)
from everfresh.contracts.kafka.security import Brokers
from tests.contracts.experiments.definitions import define

PART = TopicPartition("p.experiments", 0)


class Message(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0


class Consumer:
    """One partition in memory."""

    def __init__(self, records: list[tuple[bytes | None, bytes | None]]) -> None:
        self.log = [Message(at, *each) for at, each in enumerate(records)]
        self.at = 0

    def assignment(self) -> set[TopicPartition]:
        return {PART}

    def seek_to_beginning(self) -> None:
        self.at = 0

    def end_offsets(self, _: object) -> dict[TopicPartition, int]:
        return {PART: len(self.log)}

    def position(self, _: object) -> int:
        return self.at

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Message]]:
        got, self.at = self.log[self.at :], len(self.log)
        return {PART: got} if got else {}

    def seek(self, _: object, at: int) -> None:
        self.at = at

    def close(self) -> None:
        """Nothing is open."""


def reader_of(
    monkeypatch: pytest.MonkeyPatch, *records: tuple[bytes | None, bytes | None], **more: Any
) -> DefinitionReader:
    monkeypatch.setattr(reading, "connect_consumer", lambda *_, **__: Consumer(list(records)))
    reader = DefinitionReader(Brokers("b:9092"), "p.", **more)
    reader.read_to_end()
    return reader


def record(definition: Definition) -> tuple[bytes, bytes]:
    return definition.name.encode(), encode_definition(definition)


@pytest.mark.parametrize(
    "foreign",
    [
        (b"green", b"garbage"),
        (b"green", b""),
        (b"green", b"\xff\xfe"),
        (b"green", b"[" * 100_000),
        (b"green", encode_definition(define("blue"))),
        (None, encode_definition(define("green"))),
        (b"green", encode_definition(define("green", hash_version=3))),
        (b"green", encode_definition(define("green", arms=[Arm("a", 0.5), Arm("b", 0.5, "")]))),
        (b"green", encode_definition(define("green", namespace=Namespace("n", 1.0, 0.0)))),
    ],
)
def test_a_foreign_record_is_counted_and_the_last_good_definition_stays(
    foreign: tuple[bytes | None, bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    green = define("green", coverage=0.25)
    reader = reader_of(monkeypatch, record(green), foreign)
    assert reader.definitions() == {"green": (0, green)}
    assert (reader.end, reader.skipped) == (2, 1)
    assert "1 records that define no experiment, the last at p.experiments offset 1: " in (
        reader.left_out()
    )
    assert "\n" not in reader.left_out()


def test_the_last_record_of_a_name_counts_and_its_offset_is_the_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = define("green", coverage=0.5, since=0)
    reader = reader_of(monkeypatch, record(define("green")), record(define("blue")), record(later))
    assert reader.definitions() == {"green": (2, later), "blue": (1, define("blue"))}
    assert reader.left_out() == ""


@pytest.mark.parametrize("key", [b"green", b"unknown", b"\xff", None])
def test_a_record_without_a_value_takes_its_name_away(
    key: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = reader_of(monkeypatch, record(define("green")), (key, None))
    assert set(reader.definitions()) == ({"green"} if key != b"green" else set())
    assert reader.skipped == 0


def test_a_reader_can_stop_before_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record(define("green")), record(define("blue"))]
    assert set(reader_of(monkeypatch, *records, before=1).definitions()) == {"green"}


def test_a_flood_of_names_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_EXPERIMENTS", 3)
    names = [f"e{number}" for number in range(10)]
    reader = reader_of(monkeypatch, *[record(define(name)) for name in (*names, "e0")])
    assert set(reader.definitions()) == {"e0", "e1", "e2"}
    assert reader.definitions()["e0"][0] == 10
    assert reader.skipped == 7


def test_experiments_that_were_stopped_keep_no_new_one_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_EXPERIMENTS", 3)
    stopped = [record(define(f"old{number}", stopped=9)) for number in range(3)]
    reader = reader_of(monkeypatch, *stopped, record(define("new")), record(define("newer")))
    assert set(reader.definitions()) == {"old2", "new", "newer"}
    assert reader.skipped == 0
