"""The metrics endpoint of one process: Prometheus text format, on a port of its own.

A component builds one :class:`Metrics`, takes its counters, gauges and histograms from it, and
opens the endpoint:

    metrics = Metrics("trainer")
    windows = metrics.counter("trained_windows", "Windows trained since this process started.")
    metrics.reading("version", "Number of the live version.", lambda: figures.version)
    figures["metrics"] = metrics.open(settings.metrics, "trainer", settings.home)

Names are prefixed (``everfresh_trainer_trained_windows_total``) and follow Prometheus's
conventions: what only grows is a counter and ends in ``_total``; units are seconds and bytes, at
the name's end; what a label may say is a short list (docs/decisions/0031-metrics.md). Recording a
figure costs about a microsecond and a lock: do it once per fetch, window or request, never once per
event.

Scrapers find open endpoints by :mod:`everfresh.adapters.observe.scrape_targets`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.adapters.observe.scrape_server import ScrapeServer, start_scrape_server
from everfresh.adapters.observe.scrape_targets import write_target
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import MetricsSettings

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Histogram buckets for durations; a value above the last counts as ``+Inf``."""
COUNTS = (1.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0, 30_000.0)
"""Histogram buckets for sizes of batches."""

_SEARCHED = 100  # ports above metrics.port that a process tries for itself
_ATTEMPTS = 5


class _ReadCounter(Collector):
    def __init__(self, name: str, about: str, read: Callable[[], float]) -> None:
        self._name, self._about, self._read = name, about, read

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._about, value=self._read())


class Metrics:
    """The figures of one component of a kind (``worker``, ``trainer``, ``replica``). Thread-safe.

    Figures can be recorded whether the endpoint is open or not.
    """

    def __init__(self, kind: str) -> None:
        self.prefix = f"everfresh_{kind}_"
        self.kind = kind
        self.registry = CollectorRegistry()
        self._server: ScrapeServer | None = None
        self._record: Path | None = None
        # Else each counter and histogram comes with a gauge of when it was made.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self.registry)

    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter:
        """A counter, which only grows; ``_total`` is added to the name."""
        return Counter(self.prefix + name, about, labels, registry=self.registry)

    def gauge(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
        """A gauge, which goes up and down."""
        return Gauge(self.prefix + name, about, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        about: str,
        buckets: Sequence[float] = SECONDS,
        labels: Sequence[str] = (),
    ) -> Histogram:
        """A distribution, by upper bounds; name the unit, such as ``write_seconds``."""
        return Histogram(self.prefix + name, about, labels, buckets=buckets, registry=self.registry)

    def reading(
        self, name: str, about: str, read: Callable[[], float], *, grows: bool = False
    ) -> None:
        """A gauge, or with ``grows`` a counter, that is read at each scrape, by its thread."""
        if grows:
            self.register(_ReadCounter(self.prefix + name, about, read))
        else:
            self.gauge(name, about).set_function(read)

    def register(self, collector: Collector) -> None:
        """Add a collector, read at each scrape. Its names must have this component's prefix."""
        self.registry.register(collector)

    def open(self, settings: MetricsSettings, component: str, home: Path) -> str:
        """Listen, and return the URL to scrape; empty where ``metrics.enabled`` is off.

        ``Unreachable`` where no port can be taken.
        """
        if not settings.enabled:
            return ""
        assert self._server is None, "the metrics endpoint is open already"
        self._server, port = self._listen(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{port}"
        self._record = write_target(home, component, self.kind, address)
        return f"http://{address}/metrics"

    def close(self) -> None:
        """Stop listening. Harmless twice, and where it was never opened."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        if self._record is not None:
            self._record.unlink(missing_ok=True)
            self._record = None

    def _listen(self, settings: MetricsSettings) -> tuple[ScrapeServer, int]:
        first = settings.port
        wanted = range(first, min(first + _SEARCHED, 65_536)) if first else None
        for port in wanted or free_ports(_ATTEMPTS, settings.host):
            with contextlib.suppress(OSError):
                return start_scrape_server(settings.host, port, self.registry), port
        raise Unreachable(
            f"no port for metrics on {settings.host}: "
            + (f"{wanted[0]} to {wanted[-1]} are all taken" if wanted else "none is free")
            + "; set metrics.host or metrics.port, or metrics.enabled to false"
        )
