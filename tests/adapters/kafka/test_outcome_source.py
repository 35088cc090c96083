"""Outcomes are read from given offsets, and what cannot be read is said."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from everfresh.adapters.kafka import outcome_source
from everfresh.adapters.kafka.outcome_source import KafkaOutcomeSource, OutcomeBatch
from everfresh.contracts.errors import LogMismatch
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.outcome import encode_outcome
from tests.experiments.verdict.made_outcomes import outcome

PART = TopicPartition("t.outcomes", 0)


class Consumer:
    """One partition that begins at ``begin``; its records are outcomes and one stranger."""

    def __init__(self, begin: int, end: int) -> None:
        self.begin, self.end, self.at = begin, end, 0

    def assignment(self) -> set[TopicPartition]:
        return {PART}

    def beginning_offsets(self, parts: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, self.begin)

    def end_offsets(self, parts: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, self.end)

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    def position(self, _: TopicPartition) -> int:
        return self.at

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        del timeout_ms
        offset, self.at = self.at, self.at + 1
        made = outcome(offset, offset)
        key = b"stranger" if offset == 7 else made.id.encode()
        return {PART: [SimpleNamespace(offset=offset, key=key, value=encode_outcome(made))]}


def read(
    monkeypatch: pytest.MonkeyPatch, begin: int, end: int, offsets: dict[int, int]
) -> list[OutcomeBatch]:
    consumer = Consumer(begin, end)
    monkeypatch.setattr(outcome_source, "connect_consumer", lambda *_: consumer)
    return list(KafkaOutcomeSource(Brokers("x:1"), "t.").read(offsets))


def test_it_reads_on_from_the_offset_and_names_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = read(monkeypatch, 0, 9, {0: 6})
    assert [(each.end, len(each.outcomes)) for each in batches] == [(7, 1), (8, 0), (9, 1)]
    assert batches[1].foreign == ["t.outcomes partition 0 offset 7: its key is not its id"]


def test_what_retention_removed_unread_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = read(monkeypatch, 5, 7, {0: 2})
    assert [(each.end, each.missed, len(each.outcomes)) for each in batches] == [
        (5, 3, 0),
        (6, 0, 1),
        (7, 0, 1),
    ]
    assert [each.missed for each in read(monkeypatch, 5, 7, {})] == [0, 0]


def test_a_topic_that_ends_before_what_was_counted_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(LogMismatch, match="counted up to 9, and it ends at 4"):
        read(monkeypatch, 0, 4, {0: 9})
    with pytest.raises(LogMismatch, match=r"partition 3 .* ends at nothing"):
        read(monkeypatch, 0, 4, {3: 1})
