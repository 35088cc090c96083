"""The manual clock. The other memory doubles are under the conformance suites."""

from __future__ import annotations

import pytest

from everfresh.adapters.memory import ManualClock


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(5)
    assert (clock(), clock()) == (5, 5)
    assert clock.advance(10) == 15
    assert clock() == 15


def test_time_does_not_run_backwards() -> None:
    clock = ManualClock(5)
    with pytest.raises(AssertionError, match="backwards"):
        clock.advance(-1)
