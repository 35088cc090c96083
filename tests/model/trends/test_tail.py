"""The tail: what a version's trends become by the events after its window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everfresh.model.trends.contexts import PAUSE_S, Sightings
from everfresh.model.trends.followers import PLACES
from everfresh.model.trends.tail import BLOCK, Tail, counted_by_block, log_order
from everfresh.model.trends.trends import Trends

ROWS = 60
SHARES = np.full(ROWS, -np.log(ROWS), np.float32)
RANDOM = np.random.default_rng(7)


def events(number: int, rows: int = ROWS) -> Sightings:
    """Of rows and rows before, 0, which is no item, among them; a third of them begin visits."""
    before, named = RANDOM.integers(0, rows, number), RANDOM.integers(0, rows, number)
    chance = np.random.default_rng(number)
    times = chance.integers(1_000_000, 2_000_000, number)
    return Sightings.of(named, before, times, times - chance.choice([PAUSE_S, 3, 5], number))


def at_times(events: Sightings, times: np.ndarray) -> Sightings:
    """The first of them, at others."""
    some = events.part(slice(len(times)))
    return Sightings(some.rows, some.before, times, some.begins)


def version(number: int = 500) -> Trends:
    trends = Trends(ROWS)
    trends.learn(events(number))
    return trends


@pytest.mark.parametrize("number", [0, 1, BLOCK - 1, BLOCK, 700])
def test_a_tail_says_what_the_next_version_would_that_learnt_its_events(number: int) -> None:
    trends, came = version(), events(number)
    tail = Tail(trends, SHARES)
    tail.learn(came)
    table = tail.table()
    trends.learn(came)
    wanted = trends.table(SHARES)
    assert (tail.events, table.clock) == (number, wanted.clock)
    assert table.time == wanted.time > 0
    assert table.features == pytest.approx(wanted.features, abs=1e-4)
    assert table.chance == pytest.approx(wanted.chance, rel=1e-4)
    last = np.arange(ROWS)
    # An item keeps its best followers alone, so those may differ that were cut on the way.
    for (row, own), (other, theirs) in zip(
        _links(*table.followers.after(last, table.clock)),
        _links(*wanted.followers.after(last, wanted.clock)),
        strict=True,
    ):
        assert row == other
        common = own.keys() & theirs.keys()
        assert len(common) >= min(len(own), len(theirs)) - PLACES // 4
        for follower in common:
            assert own[follower] == pytest.approx(theirs[follower], abs=1e-3)


def _links(rows: np.ndarray, counts: np.ndarray) -> list[tuple[int, dict[int, float]]]:
    return [
        (at, {int(row): float(count[1]) for row, count in zip(named, of, strict=True) if row})
        for at, (named, of) in enumerate(zip(rows, counts, strict=True))
    ]


def test_before_its_first_event_a_tail_is_the_version() -> None:
    trends = version()
    table, own = Tail(trends, SHARES).table(), trends.table(SHARES)
    assert np.array_equal(table.features, own.features)
    assert np.array_equal(table.chance, own.chance)
    assert np.array_equal(table.links(np.arange(ROWS))[1], own.links(np.arange(ROWS))[1])


def test_a_version_is_never_written_to() -> None:
    trends = version()
    kept = {name: tensor.clone() for name, tensor in trends.tensors().items()}
    tail = Tail(trends, SHARES)
    tail.learn(events(300))
    tail.table()
    assert all((tensor == kept[name]).all() for name, tensor in trends.tensors().items())


def test_a_table_stays_as_it_is_while_its_tail_goes_on() -> None:
    tail = Tail(version(), SHARES)
    tail.learn(events(130))
    table, other, last = tail.table(), tail.copy(), np.arange(ROWS)
    features, (rows, links) = table.features.copy(), table.links(last)
    tail.learn(events(200))
    assert np.array_equal(table.features, features)
    assert np.array_equal(table.links(last)[0], rows)
    assert np.array_equal(table.links(last)[1], links)
    assert np.array_equal(other.table().features, features)


@given(cuts=st.lists(st.integers(1, 5), min_size=1, max_size=6))
@settings(max_examples=20)
def test_however_whole_blocks_come_the_numbers_are_the_same(cuts: list[int]) -> None:
    number = BLOCK * sum(cuts)
    trends, came = version(), events(number)
    at_once, by_parts = Tail(trends, SHARES), Tail(trends, SHARES)
    at_once.learn(came)
    begin = 0
    for cut in cuts:
        part = slice(begin, begin + BLOCK * cut)
        by_parts.learn(came.part(part))
        begin += BLOCK * cut
    assert at_once.time == by_parts.time
    assert np.array_equal(at_once.table().features, by_parts.table().features)
    last = np.arange(ROWS)
    for own, other in zip(at_once.links(last), by_parts.links(last), strict=True):
        assert np.array_equal(own, other)


def test_parts_of_a_table_are_those_of_the_whole() -> None:
    tail = Tail(version(), SHARES)
    tail.learn(events(200, rows=20))
    table = tail.table()
    some = np.array([1, 5, 19, 20, 44, ROWS - 1])
    assert np.array_equal(tail.features_of(some), table.features[some])
    last = RANDOM.integers(0, ROWS, 50)
    rows, links = tail.links(last)
    wanted_rows, wanted = table.links(last)
    assert np.array_equal(rows, wanted_rows)
    assert np.array_equal(links, wanted)
    for item in range(1, ROWS):
        one, counts = table.followers.after_one(item, table.clock)
        many, of_many = table.followers.after(np.array([item]), table.clock)
        assert (one == many[0]).all()
        assert counts == pytest.approx(of_many[0], rel=1e-5)


def test_what_came_unseen_fades_what_was_counted() -> None:
    trends = version()
    tail, other = Tail(trends, SHARES), Tail(trends, SHARES)
    tail.skip(2_048)
    faded = np.exp(tail.table().features[:, 0]) - 0.02
    assert faded == pytest.approx((np.exp(other.table().features[:, 0]) - 0.02) / 2, abs=1e-3)
    assert tail.events == 2_048


def test_a_block_is_ranked_before_it_is_counted() -> None:
    """Law 4: nothing of an event, nor of its block, is in what it is ranked with."""
    came = events(150)
    order = RANDOM.permutation(150)
    seen: list[int] = []
    tail = Tail(version(), SHARES)
    for number, (part, so_far) in enumerate(counted_by_block(tail, order, came)):
        assert so_far.events == BLOCK * number
        assert part.tolist() == order[BLOCK * number : BLOCK * (number + 1)].tolist()
        seen += part.tolist()
    assert sorted(seen) == list(range(150))


def test_the_order_is_that_of_the_log() -> None:
    assert log_order(np.array([5, 3, 5, 3]), np.array([1, 9, 0, 9])).tolist() == [1, 3, 2, 0]


def test_rows_are_taken_over_once_however_many_blocks_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time costs what all rows cost that the tail has touched."""
    taken, touch = list[int](), Tail.touch

    def counted(tail: Tail, rows: np.ndarray) -> None:
        taken.append(len(rows))
        touch(tail, rows)

    monkeypatch.setattr(Tail, "touch", counted)
    one, other = (Tail(each, SHARES) for each in [version()] * 2)
    came = events(10 * BLOCK)
    one.learn(came)
    assert taken == [20 * BLOCK]
    for _, tail in counted_by_block(other, np.arange(len(came)), came):
        assert tail is other
    assert taken == [20 * BLOCK] * 2
    mine, theirs = one.table(), other.table()
    assert np.array_equal(mine.features, theirs.features)
    assert np.array_equal(mine.chance, theirs.chance)


def test_before_each_block_the_tail_is_what_it_would_be_live() -> None:
    """Law 5: the same bits, though here the rows of all blocks are taken over beforehand."""
    trends = Trends(10 * ROWS)
    trends.learn(events(900, 10 * ROWS))
    shares = np.full(10 * ROWS, -np.log(10 * ROWS), np.float32)
    live, offline = Tail(trends, shares), Tail(trends, shares)
    came = events(6 * BLOCK + 5, 10 * ROWS)
    some = np.arange(0, 10 * ROWS, 3)
    for part, tail in counted_by_block(offline, np.arange(len(came)), came):
        assert np.array_equal(tail.table().features, live.table().features)
        assert np.array_equal(tail.features_of(some), live.features_of(some))
        for own, wanted in zip(tail.links(some), live.links(some), strict=True):
            assert np.array_equal(own, wanted)
        live.learn(came.part(part))
    assert live.events == offline.events == len(came)


def test_the_streams_time_is_what_most_of_the_newest_events_say() -> None:
    """One producer whose clock is wrong makes nobody come back."""
    trends, tail = Trends(ROWS), Tail(Trends(ROWS), SHARES)
    assert (trends.time, tail.time) == (0, 0)
    came = events(BLOCK)
    trends.learn(at_times(came, 5_000 + np.arange(BLOCK)))
    assert trends.time == 5_000 + BLOCK // 2
    tail = Tail(trends, SHARES)
    assert tail.time == tail.table().time == trends.time
    tail.learn(at_times(came, np.array([10**10, -(10**10), 10**10])))
    assert tail.time == trends.time
    tail.learn(at_times(came, np.full(40, 9_000)))
    assert tail.table().time == 9_000
