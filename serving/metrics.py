"""A replica's metrics for Prometheus: every request by outcome, and the figures of its status."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Histogram

from everfresh.adapters.observe.metered_reports import MeteredReports
from everfresh.adapters.observe.metrics import Metrics
from everfresh.adapters.observe.status_metrics import FigureMetric, counted
from everfresh.contracts.ports import ReportSink
from everfresh.contracts.settings import Settings

KIND = "replica"

Measure = Callable[[str, str, str, str, float], None]
"""Called with each request when it has been answered: interface (``http`` or ``grpc``), route,
status code, the kind of problem (empty where there is none), and seconds since it came in."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5)
_OURS = ("internal", "state-unreadable")
"""Problems that are a fault on this side."""
_AT_ZERO = (*_OURS, "overloaded", "timed-out", "no-version-yet")
"""Kinds of problem that are there before the first of them, so that alerts see it come."""


def nobody(interface: str, route: str, code: str, problem: str, seconds: float) -> None:
    """A ``Measure`` that keeps nothing."""


class RequestMetrics:
    """Requests by interface, route and outcome, their codes, and why some were not answered.

    ``answered`` requests got what they asked for, ``failed`` ones met a fault on this side, and
    ``refused`` ones were wrong, too many, too late or too early.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.histogram(
            "request_duration_seconds",
            "Time from a request's arrival at this replica to its answer, in seconds.",
            _SECONDS,
            ["interface", "route", "outcome"],
        )
        self._responses = metrics.counter(
            "responses",
            "Answers by status code: of HTTP a number, of gRPC a name.",
            ["interface", "code"],
        )
        self._problems = metrics.counter(
            "request_problems",
            "Requests refused or failed, by the problem that the answer names.",
            ["problem"],
        )
        for kind in _AT_ZERO:
            self._problems.labels(kind)
        self._kept: dict[tuple[str, str, str, str], tuple[Histogram, Counter]] = {}

    def measure(self, interface: str, route: str, code: str, problem: str, seconds: float) -> None:
        """See :data:`Measure`."""
        key = (interface, route, code, problem)
        kept = self._kept.get(key)
        if kept is None:
            # Routes, codes and kinds are few; looking them up by label would cost more each time.
            outcome = "answered" if not problem else "failed" if problem in _OURS else "refused"
            kept = (
                self._seconds.labels(interface, route, outcome),
                self._responses.labels(interface, code),
            )
            self._kept[key] = kept
        kept[0].observe(seconds)
        kept[1].inc()
        if problem:
            self._problems.labels(problem).inc()


FIGURES = (
    FigureMetric("version", "version", "Number of the version of the weights that answers here."),
    FigureMetric("epoch", "epoch", "Epoch of the pointer of that version; rollbacks raise it."),
    FigureMetric(
        "live_since_ms",
        "version_live_timestamp_seconds",
        "When that version went live here, in seconds since 1970.",
        per_unit=1000,
    ),
    FigureMetric(
        "joined_ms",
        "start_timestamp_seconds",
        "When this replica started, in seconds since 1970.",
        per_unit=1000,
    ),
    FigureMetric(
        "state_age_ms",
        "state_age_seconds",
        "Time since which users' state here may lack events, where it is oldest, in seconds.",
        per_unit=1000,
    ),
    FigureMetric(
        "tail_age_ms",
        "tail_age_seconds",
        "Time since recent events were last read to keep trends up, in seconds.",
        per_unit=1000,
    ),
    FigureMetric("tail_events", "tail_events", "Events after its window that trends count beside."),
    FigureMetric("tail_missing", "tail_missing_records", "Records after it that were not read."),
    counted("exposures_failed", "failed_exposures", "Exposures that did not reach Kafka"),
    counted("swaps", "version_swaps", "Versions that went live here"),
    counted("by_deltas", "delta_versions", "Versions made of the one before by its changes"),
    counted("pushed_files", "used_pushed_files", "Files of versions that came by push"),
    counted("load_failures", "version_load_failures", "Failed attempts to load a version"),
    FigureMetric("experiments", "running_experiments", "Experiments that assign users here."),
    FigureMetric(
        "experiments_closed",
        "closed_arms",
        "Arms of running experiments that take nobody in, since a guardrail was crossed.",
    ),
    counted(
        "experiments_left_out",
        "left_out_definitions",
        "Records of the topic experiments that define none, since it was last opened and",
    ),
    counted(
        "without_track",
        "answers_without_track",
        "Answers by the default track to arms whose track was not here or had no version",
    ),
    counted("experiments_late", "late_arms", "Arms that the flag system did not name in time"),
    counted("experiments_failed", "failed_arms", "Arms that the flag system could not name"),
    counted("experiments_unknown_arm", "unknown_arms", "Arms of the flag system that are not ours"),
    FigureMetric("items", "catalogue_items", "Items that the catalogue has records of."),
    FigureMetric(
        "items_cold",
        "cold_items",
        "Items without a row in the version, which are scored by what their records say.",
    ),
    FigureMetric("items_read", "catalogue_offset", "Offset after the last record of items read."),
    counted(
        "items_left_out",
        "left_out_items",
        "Records of the topic items that are none or have no room, since it was last opened and",
    ),
    counted("cache_hits", "cache_hits", "Cached histories used as they were"),
    counted("cache_prepared", "cache_prepared", "Cached histories read before their version"),
    counted("cache_extended", "cache_extended", "Cached histories to which events were added"),
    counted("cache_built", "cache_built", "Cached histories read from their beginning"),
    FigureMetric("cache_users", "cache_users", "Users whose histories are cached."),
    FigureMetric("cache_bytes", "cache_bytes", "Memory that cached histories take, in bytes."),
)
"""Of ``Replica.status``. ``requests`` and ``failed`` are in the measured requests."""


def metered(sink: ReportSink, settings: Settings) -> tuple[MeteredReports, Measure]:
    """The sink, with a replica's metrics on an endpoint, and what to tell each request to."""
    metrics = Metrics(KIND)
    requests = RequestMetrics(metrics)
    return MeteredReports(sink, metrics, FIGURES, settings), requests.measure
