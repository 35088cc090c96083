"""What window reports add to the trainer's metrics."""

from __future__ import annotations

import msgspec
import pytest

from everfresh.adapters.observe.metrics import Metrics
from everfresh.trainer.metrics import WindowMetrics
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


def test_a_report_that_is_written_again_and_a_held_window_count_no_events(metrics: Metrics) -> None:
    windows = WindowMetrics(metrics)
    windows.observe(msgspec.structs.replace(REPORT, seconds={}))
    windows.observe(msgspec.structs.replace(REPORT, seconds={}, held="noise"))
    assert value(metrics, "trained_events_total") == 0
    assert value(metrics, "window_age_seconds_count") == 0
    assert value(metrics, "window_score", contender="live", metric="hr10") == 0.5
