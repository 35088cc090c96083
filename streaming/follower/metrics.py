"""What a follower says of itself: its status in Kafka, and its metrics for Prometheus."""

from __future__ import annotations

from collections import Counter
from typing import Any

from everfresh.adapters.observe.metered_reports import MeteredReports
from everfresh.adapters.observe.metrics import Metrics
from everfresh.adapters.observe.status_metrics import FigureMetric, counted
from everfresh.contracts.ports import ReportSink
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.streaming.state.write_batch import WriteBatch

KIND = "follower"

FIGURES = (
    FigureMetric("partitions", "partitions", "Partitions whose state is kept here."),
    FigureMetric("wanted", "wanted_partitions", "Partitions that are to be kept here."),
    FigureMetric("lag", "lag_records", "Records of these partitions that are not applied yet."),
    FigureMetric(
        "state_age_ms",
        "state_age_seconds",
        "Time since which the state may lack records of the log, where it is oldest, in seconds.",
        per_unit=1000,
    ),
    FigureMetric(
        "bytes_left",
        "restore_left_bytes",
        "Part of snapshots that is still to be read, in bytes.",
    ),
    counted("applied", "applied_events", "Events accepted and put into users' state"),
    counted("duplicates", "duplicate_records", "Records skipped as applied already"),
    counted("rejected", "rejected_records", "Records that are no events to be accepted"),
    counted("from_snapshot", "restored_from_snapshot", "Partitions that began with a snapshot"),
    counted("from_log", "restored_from_log", "Partitions that began with the start of the log"),
    counted("snapshots_refused", "snapshots_refused", "Snapshots that could not be used"),
)
"""Of the status."""


def metered(sink: ReportSink, settings: Settings) -> MeteredReports:
    """The sink, with a follower's metrics on an endpoint."""
    return MeteredReports(sink, Metrics(KIND), FIGURES, settings)


class FollowerFigures:
    """Counts since this follower started; pure, so ``now`` comes in."""

    def __init__(self, component: str) -> None:
        self._component = component
        self._applied = 0
        self._duplicates = 0
        self._rejected: Counter[str] = Counter()

    def note(self, batch: WriteBatch) -> None:
        """Count what one step wrote."""
        self._applied += batch.accepted
        self._duplicates += batch.duplicates
        self._rejected += batch.rejected

    def status(self, now_ms: int, state: str, **more: Any) -> ComponentStatus:
        """The status now."""
        figures = {
            "applied": self._applied,
            "duplicates": self._duplicates,
            "rejected": self._rejected.total(),
            **more,
        }
        return ComponentStatus(self._component, KIND, now_ms, state, figures)
