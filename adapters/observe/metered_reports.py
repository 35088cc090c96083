"""A ``ReportSink`` that also offers what trainer and replicas report to Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from everfresh.adapters.observe.metrics import Metrics
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.ports import ReportSink
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings

_log = logging.getLogger("everfresh.metrics")
_STAGE_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class MeteredReports:
    """Passes every report on to ``sink``, and serves its figures on a metrics endpoint.

    Every number among a component's figures is a gauge under its own name, as of the last status.
    Window reports become scores, durations of stages, and the age of events at publication. The
    endpoint opens with the first status, when the component's name is known. Where no port is free,
    that is logged and reports are passed on without metrics.
    """

    def __init__(self, sink: ReportSink, kind: str, settings: Settings) -> None:
        self._sink = sink
        self._settings = settings
        self._url: str | None = None
        self._figures: Mapping[str, Any] = {}
        self._metrics = metrics = Metrics(kind)
        metrics.register(_Figures(f"everfresh_{kind}_", self))
        self._scores = metrics.gauge(
            "window_score", "Of the newest window, before training on it.", ["contender", "metric"]
        )
        self._stages = metrics.histogram(
            "window_stage_seconds", "Time of a window's stages.", _STAGE_SECONDS, ["stage"]
        )
        self._age = metrics.histogram(
            "window_age_seconds",
            "From the append of a window's median event to the version trained on it.",
            _STAGE_SECONDS,
        )

    @property
    def figures(self) -> Mapping[str, Any]:
        """The figures of the last status."""
        return self._figures

    def status(self, status: ComponentStatus) -> None:
        """See the port; ``metrics`` among the figures is where this component is scraped."""
        if self._url is None:
            self._url = self._open(status.component)
        self._figures = status.figures
        figures = {**status.figures, "metrics": self._url}
        self._sink.status(msgspec.structs.replace(status, figures=figures))

    def window(self, report: WindowReport) -> None:
        """See the port."""
        for contender, scores in report.scores.items():
            for metric, value in scores.items():
                self._scores.labels(contender, metric).set(value)
        for stage, seconds in report.seconds.items():
            self._stages.labels(stage).observe(seconds)
        if report.appended and not report.held:
            median = report.appended[len(report.appended) // 2]
            self._age.observe((report.published_ms - median) / 1000)
        self._sink.window(report)

    def close(self) -> None:
        """Close the endpoint. The sink stays open; its owner closes it."""
        self._metrics.close()

    def _open(self, component: str) -> str:
        try:
            return self._metrics.open(self._settings.metrics, component, self._settings.home)
        except Unreachable as error:
            _log.warning("%s has no metrics: %s", component, error)
            return ""


class _Figures(Collector):
    def __init__(self, prefix: str, reports: MeteredReports) -> None:
        self._prefix = prefix
        self._reports = reports

    def collect(self) -> Iterable[Metric]:
        for name, value in _numbers(self._reports.figures):
            about = f"{name}, as in the status of this component."
            yield GaugeMetricFamily(self._prefix + name, about, value=value)


def _numbers(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{name}_")
        elif isinstance(value, (int, float)):
            yield before + name, float(value)
