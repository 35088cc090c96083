"""Gathers what a run's processes offer into one answer, each series with its component and kind.

Prometheus can find the processes of a run by files alone (``file_sd_configs``), which needs the
home's disk and its owner. In a cluster one scrapes ports by number instead, and a replica that
takes another's place takes another port. So one process reads the files and asks all of them.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from everfresh.adapters.machine.tcp_ports import parse_address
from everfresh.adapters.observe.scrape_targets import ScrapeTarget
from everfresh.contracts.errors import SettingsError

ANSWER_S = 3.0
"""For one process to answer; those that do not are left out, and counted as down."""
_LARGEST = 16_000_000
_AT_ONCE = 16

Ask = Callable[[ScrapeTarget], str]
"""The text that an endpoint offers; ``OSError`` or ``ValueError`` where it cannot be had."""


class GatheringCollector(Collector):
    """Asks every target of ``find`` at each scrape, at once; a slow one delays none of the rest."""

    def __init__(self, find: Callable[[], Sequence[ScrapeTarget]], ask: Ask) -> None:
        self._find = find
        self._ask = ask

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before a scrape; called when this is registered."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Called at each scrape."""
        targets = list(self._find())
        up = GaugeMetricFamily(
            "everfresh_exporter_component_up",
            "Whether the component's metrics could be read: 1, or 0.",
            labels=["component", "kind"],
        )
        merged: dict[str, Metric] = {}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for target, families in zip(targets, pool.map(self._families, targets), strict=True):
                up.add_metric([target.component, target.kind], float(families is not None))
                for family in families or ():
                    _merge(merged, family, target)
        yield up
        yield from merged.values()

    def _families(self, target: ScrapeTarget) -> list[Metric] | None:
        try:
            return list(text_string_to_metric_families(self._ask(target)))
        except (OSError, ValueError, http.client.HTTPException, SettingsError):
            return None


def ask(target: ScrapeTarget) -> str:
    """See :data:`Ask`. Asks without a proxy, as these are addresses of this machine."""
    host, port = parse_address(target.address, "a scrape target")
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read(_LARGEST).decode()
    finally:
        connection.close()


def _merge(merged: dict[str, Metric], family: Metric, target: ScrapeTarget) -> None:
    whole = merged.setdefault(
        family.name, Metric(family.name, family.documentation, family.type, family.unit)
    )
    labels = {"component": target.component, "kind": target.kind}
    whole.samples += [
        sample._replace(labels={**sample.labels, **labels}) for sample in family.samples
    ]
