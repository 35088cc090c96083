"""Reports reach their sink and are offered to Prometheus as well."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from everfresh.adapters.memory import MemoryReportSink
from everfresh.adapters.observe.metered_reports import MeteredReports
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from tests.conformance.test_sinks import REPORT

FIGURES = {"version": 3, "loss": 0.5, "reason": None, "stage": "train", "cache": {"users": 7}}


@pytest.fixture
def sink() -> MemoryReportSink:
    return MemoryReportSink()


@pytest.fixture
def make_reports(
    sink: MemoryReportSink, make_settings: Callable[..., Settings]
) -> Iterator[Callable[..., MeteredReports]]:
    made: list[MeteredReports] = []

    def make(**groups: Any) -> MeteredReports:
        made.append(MeteredReports(sink, "trainer", make_settings(**groups)))
        return made[-1]

    yield make
    for reports in made:
        reports.close()


def scraped(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode()).splitlines()


def test_what_is_reported_goes_on_and_can_be_scraped(
    make_reports: Callable[..., MeteredReports], sink: MemoryReportSink
) -> None:
    reports = make_reports()
    reports.status(ComponentStatus("trainer", "trainer", 1, "running", FIGURES))
    reports.window(REPORT)
    assert sink.windows == [REPORT]
    (said,) = sink.statuses
    lines = scraped(said.figures["metrics"])
    assert said.figures == {**FIGURES, "metrics": said.figures["metrics"]}
    for line in (
        "everfresh_trainer_version 3.0",
        "everfresh_trainer_loss 0.5",
        "everfresh_trainer_cache_users 7.0",
        "everfresh_trainer_window_age_seconds_count 1.0",
    ):
        assert line in lines
    assert not any("stage " in line or "reason" in line for line in lines if line[0] != "#")
    for contender, scores in REPORT.scores.items():
        for metric, value in scores.items():
            name = f'contender="{contender}",metric="{metric}"'
            assert f"everfresh_trainer_window_score{{{name}}} {value}" in lines
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
