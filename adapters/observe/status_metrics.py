"""Figures of a component's status as metrics: which ones, under which name, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class FigureMetric(msgspec.Struct, frozen=True):
    """One figure. ``figure`` is its key in the status, ``about`` a sentence for people.

    ``name`` lacks the component's prefix. One that ``grows`` is a counter, to whose name ``_total``
    is added; else it is a gauge. ``per_unit`` of the figure make one of the metric's unit, such as
    1,000 for milliseconds that are offered as seconds.
    """

    figure: str
    name: str
    about: str
    grows: bool = False
    per_unit: float = 1.0


def counted(figure: str, name: str, about: str) -> FigureMetric:
    """A figure that a process counts from 0; ``about`` lacks the sentence's end, which says so."""
    return FigureMetric(figure, name, f"{about} since this process started.", grows=True)


class StatusCollector(Collector):
    """Offers figures as of the last status. One that is no number, or absent, has no sample."""

    def __init__(
        self,
        prefix: str,
        table: Sequence[FigureMetric],
        figures: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._prefix = prefix
        self._table = table
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """Called at each scrape."""
        figures = self._figures()
        for metric in self._table:
            kind = CounterMetricFamily if metric.grows else GaugeMetricFamily
            family = kind(self._prefix + metric.name, metric.about)
            value = figures.get(metric.figure)
            if isinstance(value, (int, float)):
                family.add_metric([], value / metric.per_unit)
            yield family
