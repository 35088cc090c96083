"""What window reports add to the trainer's metrics."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from everfresh.adapters.memory import MemoryReportSink
from everfresh.adapters.observe.metrics import Metrics
from everfresh.adapters.observe.scrape_targets import read_targets
from everfresh.contracts.settings import Settings, load_settings
from everfresh.trainer.metrics import TrackMetrics, WindowMetrics, metered
from everfresh.trainer.scoring.reporting import Figures, status
from tests.conformance.test_sinks import REPORT


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("trainer")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"everfresh_trainer_{name}", labels)


def test_a_report_adds_scores_stages_age_and_events(metrics: Metrics) -> None:
    WindowMetrics(metrics).observe(REPORT)
    assert value(metrics, "window_score", contender="live", metric="hr10") == 0.5
    assert value(metrics, "window_stage_seconds_sum", stage="train") == 0.5
    assert value(metrics, "window_age_seconds_count") == 1
    assert value(metrics, "window_age_seconds_sum") == pytest.approx(0.004)
    assert value(metrics, "trained_events_total") == REPORT.events


def test_a_score_that_the_newest_window_has_not_goes(metrics: Metrics) -> None:
    windows = WindowMetrics(metrics)
    with_fresh = {"live": {"hr10": 0.5, "fresh_hr10": 0.2}}
    windows.observe(msgspec.structs.replace(REPORT, scores=with_fresh))
    windows.observe(REPORT)
    assert value(metrics, "window_score", contender="live", metric="fresh_hr10") is None
    assert value(metrics, "window_score", contender="live", metric="hr10") == 0.5


def test_what_a_window_was_like_is_a_gauge_for_each_measure(metrics: Metrics) -> None:
    windows = WindowMetrics(metrics)
    windows.observe(msgspec.structs.replace(REPORT, measures={"bits_live": 9.5, "repeats": 0.1}))
    assert value(metrics, "window_measure", measure="bits_live") == 9.5
    windows.observe(msgspec.structs.replace(REPORT, measures={"repeats": 0.2}))
    assert value(metrics, "window_measure", measure="bits_live") is None
    assert value(metrics, "window_measure", measure="repeats") == 0.2


def test_a_report_that_is_written_again_and_a_held_window_count_no_events(metrics: Metrics) -> None:
    windows = WindowMetrics(metrics)
    windows.observe(msgspec.structs.replace(REPORT, seconds={}))
    windows.observe(msgspec.structs.replace(REPORT, seconds={}, held="noise"))
    assert value(metrics, "trained_events_total") == 0
    assert value(metrics, "window_age_seconds_count") == 0
    assert value(metrics, "window_score", contender="live", metric="hr10") == 0.5


def test_each_track_has_samples_of_its_own_until_it_stops(metrics: Metrics) -> None:
    tracks = TrackMetrics(metrics.prefix)
    metrics.register(tracks)
    figures = Figures(version=7, backlog=2, windows=3, failed="a bad disk", processor_s=1.5)
    for name in ("fast", "slow"):
        tracks.take(status(figures, "running", 9, name))
    tracks.take(status(figures, "stopped", 9, "slow"))
    assert value(metrics, "track_version", track="fast") == 7
    assert value(metrics, "track_backlog_windows", track="fast") == 2
    assert value(metrics, "track_alarms", track="fast") == 1
    assert value(metrics, "track_processor_seconds_total", track="fast") == 1.5
    assert value(metrics, "track_version", track="slow") is None


def test_other_tracks_reports_and_status_leave_the_default_ones_metrics_alone(
    metrics: Metrics, small_settings: Settings
) -> None:
    windows = WindowMetrics(metrics)
    windows.observe(msgspec.structs.replace(REPORT, track="fast"))
    assert value(metrics, "trained_events_total") == 0
    sink = MemoryReportSink()
    metered_sink = metered(sink, small_settings)
    metered_sink.status(status(Figures(version=3), "running", 1))
    metered_sink.status(status(Figures(version=8), "running", 1, "fast"))
    assert [each.figures["version"] for each in sink.statuses] == [3, 8]
    assert metered_sink._figures["version"] == 3
    metered_sink.close()


def test_the_process_of_one_track_offers_its_metrics_under_the_tracks_name(tmp_path: Path) -> None:
    settings = load_settings({"home": tmp_path})
    sink = MemoryReportSink()
    first, other = (metered(sink, settings, name) for name in ("default", "fast"))
    assert [target.component for target in read_targets(tmp_path)] == ["trainer-fast"]
    other.status(status(Figures(version=3), "running", 9, "fast"))
    first.status(status(Figures(version=4), "running", 9))
    assert [each.component for each in read_targets(tmp_path)] == ["trainer", "trainer-fast"]
    for each in (first, other):
        each.close()
    assert read_targets(tmp_path) == []
