"""When a version was live on every replica, and how old its events were then. Pure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everfresh.infra.cli.views.freshness import LiveVersions, weighted_quantile, window_freshness
from tests.infra.cli.reports import window


def test_a_version_is_live_when_the_last_replica_has_it() -> None:
    live = LiveVersions(2)
    live.seen("a", 0, None, None)
    live.seen("b", 0, None, None)
    live.seen("a", 1000, 1, 900)
    assert live.everywhere_since(1) is None
    live.seen("b", 1100, 1, 1050)
    assert live.everywhere_since(1) == 1050
    assert live.everywhere_since(2) is None


def test_nothing_is_live_everywhere_before_all_replicas_were_heard() -> None:
    live = LiveVersions(2)
    live.seen("a", 1000, 1, 900)
    assert live.everywhere_since(1) is None


def test_a_skipped_version_counts_from_the_next_one_seen() -> None:
    live = LiveVersions(2)
    live.seen("a", 1000, 1, 900)
    live.seen("b", 1000, 1, 950)
    live.seen("a", 3000, 3, 2900)
    live.seen("b", 2000, 2, 1900)
    live.seen("b", 3000, 3, 2950)
    assert live.everywhere_since(2) == 2900
    assert live.everywhere_since(3) == 2950


def test_no_version_number_is_too_high_to_be_followed() -> None:
    live = LiveVersions(1)
    live.seen("a", 1000, 100_000, 900)
    live.seen("a", 2000, 200_000, 1900)
    assert live.everywhere_since(7) == 900
    assert live.everywhere_since(100_001) == 1900
    assert len(live._everywhere) == 2  # however many versions lie between


def test_a_replica_that_comes_later_does_not_change_what_was_live() -> None:
    live = LiveVersions(2)
    live.seen("a", 1000, 1, 900)
    live.seen("b", 1000, 1, 950)
    live.gone("b")
    live.seen("c", 9000, 2, 8900)
    live.seen("a", 9000, 2, 2000)
    assert live.everywhere_since(1) == 950
    assert live.everywhere_since(2) == 8900


def test_a_replica_that_fell_silent_holds_nothing_up() -> None:
    live = LiveVersions(1)
    live.seen("a", 1000, 1, 900)
    live.seen("b", 2000, 1, 950)
    live.seen("b", 3000, 2, 2950)
    assert live.everywhere_since(2) is None
    live.seen("b", 12_000, 2, 2950)
    assert live.everywhere_since(2) == 2950


def test_quantiles_weigh_by_events() -> None:
    samples = [(1.0, 98.0), (5.0, 1.0), (9.0, 1.0)]
    assert weighted_quantile(samples, 0.5) == 1.0
    assert weighted_quantile(samples, 0.99) == 5.0
    assert weighted_quantile(samples, 1.0) == 9.0
    assert weighted_quantile([], 0.5) is None


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_splits_the_weight_at_its_share(pairs: list[tuple[int, int]], q: float) -> None:
    quantile = weighted_quantile([(float(value), float(weight)) for value, weight in pairs], q)
    assert quantile is not None
    total = sum(weight for _, weight in pairs)
    assert sum(weight for value, weight in pairs if value <= quantile) >= q * total - 1e-9
    assert sum(weight for value, weight in pairs if value < quantile) <= q * total + 1e-9


def test_freshness_runs_from_append_to_live_everywhere() -> None:
    live = LiveVersions(1)
    live.seen("a", 5000, 1, 4000)
    report = window(1, events=202, appended=[1000] * 100 + [2000])
    samples = window_freshness(report, live)
    assert samples == [(3.0, 2.0)] * 100 + [(2.0, 2.0)]
    assert window_freshness(window(2), live) == []
