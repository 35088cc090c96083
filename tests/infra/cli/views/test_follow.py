"""The rate of events over the last seconds. Pure."""

from __future__ import annotations

import pytest

from everfresh.infra.cli.views.follow import Rate


def test_a_rate_is_over_the_last_seconds_and_begins_anew_after_a_restart() -> None:
    rate = Rate(span_s=5.0)
    assert rate.per_s == 0.0
    for second in range(20):
        rate.add(float(second), second * 10 if second < 10 else 90 + (second - 9) * 100)
    assert rate.per_s == pytest.approx(100.0)
    rate.add(20.0, 0)
    assert rate.per_s == 0.0
