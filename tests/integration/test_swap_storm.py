"""A short swap storm: versions swapped under load, a replica and the publisher killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.swap.outcome import summarise
from benchmarks.swap_storm import Course, run

pytestmark = pytest.mark.integration


def test_swaps_under_load_and_kills_lose_no_request_and_mix_no_versions(tmp_path: Path) -> None:
    course = Course(swaps=24, rounds=3, items=500)
    found = run(tmp_path / "home", course)
    failures = [one.failure for one in found.answers if one.failure]
    assert not failures, failures[:5]
    assert found.mixed == 0
    assert summarise(found, course.pace)["swaps"] >= 24
    assert found.versions > 8
    assert len(found.answers) > 500
    assert {one.fault for one in found.segments} == {"", "replica", "publisher"}
