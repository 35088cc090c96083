"""Which rights a part lacks, by what the cluster says of its topics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.errors import TopicAuthorizationFailedError

from everfresh.adapters.kafka import report_sink, rights
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.rights import TRAINER, require_rights
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings

ALL = ["DESCRIBE", "DESCRIBE_CONFIGS", "READ", "WRITE"]


class Admin:
    """As kafka-python's admin client describes topics."""

    def __init__(self, topics: dict[str, dict[str, Any]]) -> None:
        self._topics = topics

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"error_code": 0, "name": name, **self._topics[name]} for name in names]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    def ask(**topics: dict[str, Any]) -> None:
        admin = Admin({f"everfresh.{name}": topic for name, topic in topics.items()})

        @contextlib.contextmanager
        def connect(_: object) -> Iterator[Admin]:
            yield admin

        monkeypatch.setattr(rights, "connect_admin", connect)
        require_rights(TRAINER, Settings(kafka={"bootstrap_servers": "k:9092"}))

    return ask


def test_a_part_with_its_rights_starts_and_so_it_does_where_the_broker_does_not_say(
    ask: Any,
) -> None:
    everything = {"authorized_operations": ALL}
    ask(windows=everything, items=everything, reports=everything, status=everything)
    reads = {"authorized_operations": ["READ"]}
    ask(windows=reads, items=reads, reports={}, status=everything)
    ask(windows={"error_code": 3}, items=reads, reports=everything, status=everything)


def test_a_right_that_is_missing_on_a_topic_that_is_seen_is_named(ask: Any) -> None:
    seen, all_of_it = {"authorized_operations": ["DESCRIBE"]}, {"authorized_operations": ALL}
    reads = {"authorized_operations": ["DESCRIBE", "READ"]}
    with pytest.raises(Unreachable) as refused:
        ask(
            windows=seen,
            items=seen,
            reports=reads,
            status={"error_code": 29, "authorized_operations": None},
        )
    said = str(refused.value)
    assert "Read on topic everfresh.windows" in said
    assert "Read on topic everfresh.items" in said
    assert "Write on topic everfresh.reports" in said
    assert "Write on topic everfresh.status" in said
    with pytest.raises(Unreachable, match=r"to Write on topic everfresh\.reports;"):
        ask(windows=all_of_it, items=reads, reports=reads, status=all_of_it)


class HidingProducer:
    """As the library's, of a client that may not see some topics."""

    hidden: tuple[str, ...] = ()

    def __init__(self, **options: object) -> None:
        pass

    def partitions_for(self, topic: str) -> set[int]:
        if topic in self.hidden:
            raise TopicAuthorizationFailedError(topic)
        return {0}

    def close(self, timeout: float) -> None:
        pass


@pytest.mark.parametrize(
    ("hidden", "windows", "right"),
    [
        ("t.reports", False, "Describe on topic t.reports"),
        ("t.reports", True, "Write on topic t.reports"),
        ("t.status", False, "Write on topic t.status"),
    ],
)
def test_a_part_that_writes_status_alone_is_told_to_describe_reports(
    monkeypatch: pytest.MonkeyPatch, hidden: str, windows: bool, right: str
) -> None:
    monkeypatch.setattr(report_sink, "require_broker", lambda brokers: None)
    monkeypatch.setattr(report_sink, "_Producer", HidingProducer)
    monkeypatch.setattr(HidingProducer, "hidden", (hidden,))
    with pytest.raises(Unreachable, match=f"no right at k:9092 to {right};"):
        KafkaReportSink(Brokers("k:9092"), "t.", windows=windows)
