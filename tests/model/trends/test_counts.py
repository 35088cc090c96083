"""Fading counts and followers, held against sums over every event that ever was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.model.trends import followers
from everfresh.model.trends.contexts import PAUSE_S, Sightings
from everfresh.model.trends.counts import BEGIN_HALF_LIFE, HALF_LIVES, total
from everfresh.model.trends.followers import PLACES
from everfresh.model.trends.trends import Trends

ROWS = 30
event = st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans())
"""Row before, row, and whether a visit begins with it."""
Counted = tuple[int, int] | tuple[int, int, bool]
windows = st.lists(st.lists(event, max_size=12), max_size=6)


def learnt(parts: list[list[Counted]]) -> Trends:
    trends = Trends(ROWS)
    for part in parts:
        before, rows, begins = (
            np.array([(*each, False)[at] for each in part], dtype=np.int64) for at in range(3)
        )
        trends.learn(Sightings(rows, before, np.zeros_like(rows), begins > 0))
    return trends


def faded(ages: list[int], half_life: float) -> float:
    return sum(2.0 ** (-age / half_life) for age in ages)


@given(parts=windows)
def test_counts_are_sums_over_all_events_however_they_are_cut(
    parts: list[list[Counted]],
) -> None:
    events = [event for part in parts for event in part]
    trends = learnt(parts)
    assert trends.clock == len(events)
    counts = trends.counted().at(trends.clock)
    named, links = trends.followed().after(np.arange(ROWS), trends.clock)
    for row in range(1, 6):
        ages = [len(events) - at for at, (_, item, *_) in enumerate(events) if item == row]
        begun = [len(events) - at for at, seen in enumerate(events) if seen[1:] == (row, True)]
        wanted = [*(faded(ages, life) for life in HALF_LIVES), faded(begun, BEGIN_HALF_LIFE)]
        assert counts[row] == pytest.approx(wanted, rel=1e-5)
        kept = dict(zip(named[row].tolist(), links[row].tolist(), strict=True))
        for item in range(1, 6):
            pair = [len(events) - at for at, seen in enumerate(events) if seen[:2] == (row, item)]
            followed = [item for last, item, *_ in events if last == row and item]
            own = [len(followed) - 1 - at for at, each in enumerate(followed) if each == item]
            wanted = [faded(pair, life) for life in followers.HALF_LIVES]
            wanted.append(faded(own, followers.OWN_HALF_LIFE))
            assert kept.get(item, [0.0] * 3) == pytest.approx(wanted, rel=1e-5)


def test_all_counts_together_are_what_a_sum_says() -> None:
    trends = learnt([[(0, 1 + at % 20) for at in range(5_000)], [(0, 3)] * 70])
    for at, half_life in enumerate(HALF_LIVES):
        together = trends.counted().at(trends.clock)[:, at].sum()
        assert together == pytest.approx(total(trends.clock, half_life), rel=1e-4)


def test_a_window_changes_the_rows_that_it_sighted_alone() -> None:
    trends = learnt([[(1, 2), (2, 3), (3, 4)]])
    before = {name: tensor.clone() for name, tensor in trends.tensors().items()}
    trends.learn(Sightings.of(*np.array([[2], [5], [0], [0]])))
    for name, tensor in trends.tensors().items():
        if tensor.dim() and tensor.shape[0] == ROWS:
            changed = {int(row) for row in np.argwhere((tensor != before[name]).numpy())[:, 0]}
            assert changed <= {2, 5}, name


def test_an_item_keeps_its_best_followers() -> None:
    often = [(1, 2)] * 9 + [(1, 3)] * 5
    once = [(1, 4 + at) for at in range(PLACES + 4)]
    trends = learnt([often, once])
    named, links = trends.followed().after(np.array([1]), trends.clock)
    assert named[0, :2].tolist() == [2, 3]
    assert links[0, 0] == pytest.approx([9.0, 9.0, 3.5], abs=0.3)  # faded a little
    assert len(set(named[0].tolist())) == PLACES
    assert (named[0] != 0).all()


def test_a_follower_of_late_pushes_out_those_of_long_ago() -> None:
    stale = [(1, 2 + at) for at in range(PLACES)] * 2
    quiet = [(0, 29)] * int(8 * followers.HALF_LIVES[0])
    trends = learnt([stale, quiet, [(1, 28)]])
    assert 28 in trends.followed().after(np.array([1]), trends.clock)[0]


def test_an_item_that_left_leaves_nothing_to_the_next_in_its_row() -> None:
    trends = learnt([[(1, 2), (2, 1), (2, 3)]])
    trends.forget(np.array([1]))
    counts = trends.counted().at(trends.clock)
    assert counts[1].tolist() == [0.0, 0.0, 0.0, 0.0]
    named, links = trends.followed().after(np.array([1, 2]), trends.clock)
    assert sorted(set(named.ravel().tolist())) == [0, 3]
    assert (links[named == 0] == 0.0).all()


def test_a_visit_begins_with_a_users_first_event_and_after_a_pause() -> None:
    now = 10_000
    at = np.array([0, now, now - PAUSE_S + 1, now - PAUSE_S, now + 5])
    events = Sightings.of(np.arange(1, 6), np.arange(5), np.full(5, now), at)
    assert events.begins.tolist() == [True, False, False, True, False]
    # Where times are numbers of rows, nothing is a pause but there are first events.
    early = Sightings.of(np.arange(1, 3), np.arange(2), np.array([7, 9]), np.array([0, 7]))
    assert early.begins.tolist() == [True, False]
