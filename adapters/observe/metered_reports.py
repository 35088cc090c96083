"""A ``ReportSink`` that also offers what trainer and replicas report to Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from everfresh.adapters.observe.metrics import Metrics
from everfresh.adapters.observe.status_metrics import FigureMetric, StatusCollector
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.ports import ReportSink
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings

_log = logging.getLogger("everfresh.metrics")


class MeteredReports:
    """Passes every report on to ``sink``, and serves their figures on an endpoint.

    ``table`` says which figures of a status are metrics, ``on_window`` is told of each window, and
    ``on_other`` of each status of another kind than the component's own. The
    endpoint opens with the first status, when the component's name is known. Where no port is free,
    that is logged and reports are passed on without metrics.
    """

    def __init__(
        self,
        sink: ReportSink,
        metrics: Metrics,
        table: Sequence[FigureMetric],
        settings: Settings,
        on_window: Callable[[WindowReport], None] = lambda report: None,
        on_other: Callable[[ComponentStatus], None] = lambda status: None,
    ) -> None:
        self._sink = sink
        self._metrics = metrics
        self._settings = settings
        self._on_window = on_window
        self._on_other = on_other
        self._url: str | None = None
        self._figures: Mapping[str, Any] = {}
        metrics.register(StatusCollector(metrics.prefix, table, lambda: self._figures))

    def status(self, status: ComponentStatus) -> None:
        """See the port; ``metrics`` among the figures is where this component is scraped."""
        if status.kind != self._metrics.kind:
            self._on_other(status)
            self._sink.status(status)
            return
        if self._url is None:
            self.open(status.component)
        self._figures = status.figures
        figures = {**status.figures, "metrics": self._url}
        self._sink.status(msgspec.structs.replace(status, figures=figures))

    def window(self, report: WindowReport) -> None:
        """See the port."""
        self._on_window(report)
        self._sink.window(report)

    def close(self) -> None:
        """Close the endpoint. The sink stays open; its owner closes it."""
        self._metrics.close()

    def open(self, component: str) -> None:
        """Open the endpoint now, under this name; else the first status does."""
        try:
            self._url = self._metrics.open(self._settings.metrics, component, self._settings.home)
        except Unreachable as error:
            _log.warning("%s has no metrics: %s", component, error)
            self._url = ""
