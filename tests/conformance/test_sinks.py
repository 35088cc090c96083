"""One suite for every ``ExposureSink`` and ``ReportSink``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from everfresh.adapters.kafka.exposure_sink import KafkaExposureSink
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.tail import ObservedRecord
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.memory import MemoryExposureSink, MemoryReportSink
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.ports import ExposureSink, ReportSink
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EXPOSURES, REPORTS, STATUS
from tests.adapters.kafka.topic_records import read_topic

REPORT = WindowReport(
    label=4,
    scored_version=None,
    version=1,
    events=2,
    users=1,
    items=2,
    scores={"live": {"hr10": 0.5}},
    appended=[1, 2],
    closed_ms=5,
    published_ms=6,
    seconds={"train": 0.5},
)


def exposure(number: int) -> Exposure:
    return Exposure(f"r{number}", "ann", 5, "a", 3, 0, "model", [1, "x"], [0.5, 0.25], 2, 7)


def status(component: str, state: str = "running") -> ComponentStatus:
    return ComponentStatus(component, "worker", 5, state, {"applied": 3})


class Memory:
    def __init__(self) -> None:
        self._exposures, self._reports = MemoryExposureSink(), MemoryReportSink()
        self.exposures: ExposureSink = self._exposures
        self.reports: ReportSink = self._reports

    def arrived(self) -> list[ObservedRecord]:
        return [*self._exposures.exposures, *self._reports.windows, *self._reports.statuses]

    def close(self) -> None:
        """Nothing is open."""


class Kafka:
    def __init__(self, servers: str, settings: Settings) -> None:
        ensure_topics(Brokers(servers), settings)
        self._servers, self._prefix = servers, settings.kafka.topic_prefix
        self.exposures = KafkaExposureSink(Brokers(servers), self._prefix)
        self.reports = KafkaReportSink(Brokers(servers), self._prefix)

    def arrived(self) -> list[ObservedRecord]:
        assert self.exposures.flush()
        assert self.reports.flush()
        return [
            record
            for spec in (EXPOSURES, REPORTS, STATUS)
            for record in read_topic(self._servers, self._prefix, spec)
        ]

    def close(self) -> None:
        self.exposures.close()
        self.reports.close()


Sinks = Memory | Kafka


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def sinks(
    request: pytest.FixtureRequest, make_settings: Callable[..., Settings]
) -> Iterator[Sinks]:
    opened: Sinks
    if request.param == "memory":
        opened = Memory()
    else:
        opened = Kafka(request.getfixturevalue("kafka").bootstrap_servers, make_settings())
    yield opened
    opened.close()


def test_exposures_of_a_user_arrive_complete_and_in_order(sinks: Sinks) -> None:
    sent = [exposure(number) for number in range(50)]
    for record in sent:
        sinks.exposures.send(record)
    assert sinks.arrived() == sent
    assert sinks.exposures.failed() == 0


def test_reports_and_status_arrive_each_at_their_place(sinks: Sinks) -> None:
    sinks.reports.status(status("worker-0"))
    sinks.reports.window(REPORT)
    sinks.reports.status(status("worker-0", "stopped"))
    assert sinks.arrived() == [REPORT, status("worker-0"), status("worker-0", "stopped")]
