"""Reports reach their sink and are offered to Prometheus as well."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from everfresh.adapters.memory import MemoryReportSink
from everfresh.adapters.observe.metered_reports import MeteredReports
from everfresh.adapters.observe.metrics import Metrics
from everfresh.adapters.observe.status_metrics import FigureMetric
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings
from tests.conformance.test_sinks import REPORT

FIGURES = {"version": 3, "swaps": 5, "since_ms": 1500, "reason": None, "stage": "train"}
TABLE = (
    FigureMetric("version", "version", "The version."),
    FigureMetric("swaps", "version_swaps", "Versions that came.", grows=True),
    FigureMetric("since_ms", "version_timestamp_seconds", "When it came.", per_unit=1000),
    FigureMetric("reason", "reason", "Not a number."),
    FigureMetric("epoch", "epoch", "Absent."),
)


@pytest.fixture
def sink() -> MemoryReportSink:
    return MemoryReportSink()


@pytest.fixture
def told() -> list[WindowReport]:
    return []


@pytest.fixture
def make_reports(
    sink: MemoryReportSink, make_settings: Callable[..., Settings], told: list[WindowReport]
) -> Iterator[Callable[..., MeteredReports]]:
    made: list[MeteredReports] = []

    def make(**groups: Any) -> MeteredReports:
        settings = make_settings(**groups)
        made.append(MeteredReports(sink, Metrics("trainer"), TABLE, settings, told.append))
        return made[-1]

    yield make
    for reports in made:
        reports.close()


def scraped(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=240) as answer:
        return str(answer.read().decode()).splitlines()


def test_what_is_reported_goes_on_and_can_be_scraped(
    make_reports: Callable[..., MeteredReports], sink: MemoryReportSink, told: list[WindowReport]
) -> None:
    reports = make_reports()
    reports.status(ComponentStatus("trainer", "trainer", 1, "running", FIGURES))
    reports.window(REPORT)
    assert sink.windows == told == [REPORT]
    (said,) = sink.statuses
    lines = scraped(said.figures["metrics"])
    assert said.figures == {**FIGURES, "metrics": said.figures["metrics"]}
    for line in (
        "everfresh_trainer_version 3.0",
        "# HELP everfresh_trainer_version_swaps_total Versions that came.",
        "# TYPE everfresh_trainer_version_swaps_total counter",
        "everfresh_trainer_version_swaps_total 5.0",
        "everfresh_trainer_version_timestamp_seconds 1.5",
    ):
        assert line in lines
    samples = [line for line in lines if line.startswith("everfresh_trainer_")]
    assert len(samples) == 3
    reports.status(ComponentStatus("trainer", "trainer", 2, "running", {"version": 4}))
    assert "everfresh_trainer_version 4.0" in scraped(said.figures["metrics"])


def test_without_a_port_reports_go_on(
    make_reports: Callable[..., MeteredReports],
    sink: MemoryReportSink,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reports = make_reports(metrics={"host": "192.0.2.1"})  # an address that is nobody's
    reports.status(ComponentStatus("trainer", "trainer", 1, "running", {"version": 3}))
    reports.status(ComponentStatus("trainer", "trainer", 2, "running", {"version": 4}))
    assert [status.figures for status in sink.statuses] == [
        {"version": 3, "metrics": ""},
        {"version": 4, "metrics": ""},
    ]
    assert caplog.text.count("trainer has no metrics: ") == 1
