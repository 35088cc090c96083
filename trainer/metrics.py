"""The trainer's metrics for Prometheus: the figures of its status, and what its reports say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from everfresh.adapters.observe.metered_reports import MeteredReports
from everfresh.adapters.observe.metrics import Metrics
from everfresh.adapters.observe.status_metrics import FigureMetric, counted
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.ports import ReportSink
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings

KIND = "trainer"

_STAGE_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


FIGURES = (
    FigureMetric("version", "version", "Number of the version of the weights that is live."),
    FigureMetric(
        "events", "version_events", "Events that the live version and its ancestors have learnt."
    ),
    FigureMetric("loss", "loss", "Mean training loss of the window that was trained last."),
    FigureMetric("backlog", "backlog_windows", "Complete windows that wait to be trained."),
    FigureMetric(
        "backlog_s", "backlog_seconds", "How long the oldest waiting window has waited, in seconds."
    ),
    counted("windows", "trained_windows", "Windows trained and published"),
    counted("merged", "merged_windows", "Windows trained together with the one before"),
    counted("sampled", "sampled_windows", "Windows of which only a share was trained"),
    counted(
        "rejected", "rejected_records", "Records that the stream worker had not accepted, by window"
    ),
    counted("held", "held_windows", "Windows that the gate kept out of training"),
    counted("let_pass", "let_pass_windows", "Windows trained because the gate had held too many"),
    counted("floods", "flooded_windows", "Windows that brought more new items than they may"),
    counted("refused", "refused_events", "Events by which users said no, which are not taught"),
    counted("curated", "curated_events", "Events not learnt: repeats, and too many of one user"),
    counted("rolled_back", "rollbacks", "Rollbacks by the trainer, of versions that got worse"),
    counted("overtaken", "overtaken_publishes", "Versions not published: the pointer had moved"),
    counted("workers_lost", "lost_workers", "Training processes that died within a window"),
    counted(
        "foreign",
        "foreign_records",
        "Records left out of the windows: everfresh did not write them",
    ),
    counted("undeleted", "failed_deletions", "Failed attempts to delete an old version"),
    FigureMetric(
        "index_look", "index_rows", "Rows that a request looks at by the version's index; 0: all."
    ),
    FigureMetric(
        "index_recall", "index_recall", "Share of the ten best items that this finds, 0 to 1."
    ),
    FigureMetric(
        "standing_still", "standing_still", "1 while the default track has failed, else 0."
    ),
    counted("processor_s", "processor_seconds", "Processor seconds that the default track took"),
)
"""Of ``trainer.scoring.reporting.Figures``. ``hr10`` and ``ndcg10`` are among the window's scores,
``events_per_s`` is the rate of trained events, and ``alarms`` a sum of others."""


class WindowMetrics:
    """What each window report adds. Reports that are written again, after a restart, add nothing:
    they name no stages."""

    def __init__(self, metrics: Metrics) -> None:
        self._events = metrics.counter(
            "trained_events", "Events in the windows trained since this process started."
        )
        self._scores = metrics.gauge(
            "window_score",
            "Score of a contender on the newest window before training on it, from 0 to 1.",
            ["contender", "metric"],
        )
        self._measures = metrics.gauge(
            "window_measure",
            "What the newest window was like before training on it: bits per event under the live "
            "model and under popularity, compression, entropy, shares of repeats and so on.",
            ["measure"],
        )
        self._stages = metrics.histogram(
            "window_stage_seconds",
            "Time that a stage of a window took (read, score, train or publish), in seconds.",
            _STAGE_SECONDS,
            ["stage"],
        )
        self._age = metrics.histogram(
            "window_age_seconds",
            "Age of a window's median event when the version that learnt it was published, in "
            "seconds since its append.",
            _STAGE_SECONDS,
        )

    def observe(self, report: WindowReport) -> None:
        """Count one report of the default track; of others there are :class:`TrackMetrics`."""
        if report.track != DEFAULT:
            return
        self._scores.clear()
        for contender, scores in report.scores.items():
            for metric, value in scores.items():
                self._scores.labels(contender, metric).set(value)
        self._measures.clear()
        for measure, value in report.measures.items():
            self._measures.labels(measure).set(value)
        if not report.seconds:
            return
        for stage, seconds in report.seconds.items():
            self._stages.labels(stage).observe(seconds)
        self._events.inc(report.events)
        if report.appended:
            median = report.appended[len(report.appended) // 2]
            self._age.observe((report.published_ms - median) / 1000)


TRACK_FIGURES = (
    FigureMetric("version", "track_version", "Number of the track's live version."),
    FigureMetric("backlog", "track_backlog_windows", "Complete windows that wait for the track."),
    FigureMetric("hr10", "track_hr10", "HR@10 of the track's live version on its last window."),
    FigureMetric("standing_still", "track_standing_still", "1 while the track has failed, else 0."),
    FigureMetric("alarms", "track_alarms", "Held windows, failures and the like, all together."),
    counted("windows", "track_trained_windows", "Windows trained and published on the track"),
    counted("processor_s", "track_processor_seconds", "Processor seconds that the track took"),
)
"""Of the status of each track beside the default one, with its name as the label ``track``."""


class TrackMetrics(Collector):
    """Figures of the tracks beside the default one, as of their last status."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._figures: dict[str, Mapping[str, Any]] = {}

    def take(self, status: ComponentStatus) -> None:
        """The newest status of a track; one that has stopped has no samples any more."""
        name = status.component.partition("-")[2]
        figures = {key: each for key, each in self._figures.items() if key != name}
        if status.state != "stopped":
            figures[name] = status.figures
        self._figures = figures  # replaced as a whole: a scrape reads it meanwhile

    def collect(self) -> Iterable[Metric]:
        """Called at each scrape."""
        tracks = self._figures
        for metric in TRACK_FIGURES:
            kind = CounterMetricFamily if metric.grows else GaugeMetricFamily
            family = kind(self._prefix + metric.name, metric.about, labels=["track"])
            for name, figures in tracks.items():
                value = figures.get(metric.figure)
                if isinstance(value, (int, float)):
                    family.add_metric([name], value)
            yield family


def metered(sink: ReportSink, settings: Settings, only: str | None = None) -> MeteredReports:
    """The sink, with the trainer's metrics on an endpoint; that of ``only`` one track besides the
    default one is open from the beginning, under the track's name."""
    metrics = Metrics(KIND)
    tracks = TrackMetrics(metrics.prefix)
    metrics.register(tracks)
    windows = WindowMetrics(metrics).observe
    made = MeteredReports(sink, metrics, FIGURES, settings, windows, tracks.take)
    if only not in (None, DEFAULT):
        made.open(f"{KIND}-{only}")
    return made
