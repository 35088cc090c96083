"""When a component is restarted, and when the run gives up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everfresh.infra.processes.restarts import RestartPolicy


def test_pauses_double_up_to_the_longest_and_then_it_gives_up() -> None:
    policy = RestartPolicy(limit=4, period_s=100.0, first_s=1.0, longest_s=3.0)
    assert [policy.pause_after_death("a", 10.0) for _ in range(5)] == [1.0, 2.0, 3.0, 3.0, None]
    assert policy.pause_after_death("b", 10.0) == 1.0


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=40))
def test_no_period_holds_more_restarts_than_the_limit(gaps: list[float]) -> None:
    policy, now, restarts = RestartPolicy(limit=3, period_s=100.0), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if policy.pause_after_death("a", now) is not None:
            restarts.append(now)
    for at in restarts:
        assert sum(at <= other < at + 100.0 for other in restarts) <= 3
