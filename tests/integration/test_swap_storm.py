"""A short swap storm: versions swapped under load, each replica and the publisher killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.swap_storm.measure import Course, measure
from benchmarks.swap_storm.report import figures

pytestmark = pytest.mark.integration


def test_swaps_under_load_and_kills_lose_no_request_and_mix_no_versions(tmp_path: Path) -> None:
    # Few requests, which may wait: a busy machine answers late, and that is no failure.
    course = Course(swaps=24, rounds=3, items=500, rate=25.0, patience_s=120.0)
    outcome = measure(tmp_path / "home", course)
    failures = [answer.failure for answer in outcome.answers if answer.failure]
    assert not failures, failures[:5]
    assert outcome.mixed == 0
    assert figures(outcome, course.pace)["swaps"] >= 24
    assert outcome.versions > 8
    assert len(outcome.answers) > 300
    assert figures(outcome, course.pace)["requests_on_kept_connections"] == 32
    assert {segment.fault for segment in outcome.segments} == {"", "replicas", "publisher"}
