"""The events that are kept for tails: in one order, bounded, and named by their offsets."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everfresh.serving.tail.recent_log import RecentLog, RecentSlice, name_of
from tests.serving.tail.events import Logged, made_log, run_of

ITEMS = ["a", "b", 3, 4, 5]


def told(log: RecentLog, recent: RecentSlice) -> list[tuple[tuple[int, ...], object, object]]:
    """Place, item and the item before of each."""
    names = [None, *log.items()]
    return [
        (tuple(key), names[item], names[before])
        for key, item, before in zip(recent.keys.tolist(), recent.items, recent.before, strict=True)
    ]


def wanted(log: list[Logged]) -> list[tuple[tuple[int, ...], object, object]]:
    return [(each.key, each.item, each.before) for each in sorted(log, key=lambda each: each.key)]


@given(seed=st.integers(0, 1_000))
@settings(max_examples=20)
def test_events_are_in_one_order_however_partitions_were_read(seed: int) -> None:
    rng = random.Random(seed)
    log, kept = made_log(60, 3, seed, ITEMS), RecentLog()
    ends = [0, 0, 0]
    while any(end < 200 for end in ends):
        partition = rng.choice([at for at, end in enumerate(ends) if end < 200])
        end = ends[partition] + rng.choice([1, 10, 100])
        kept.put(run_of(partition, ends[partition], end, log))
        ends[partition] = end
    through = {0: 12, 2: 20}
    recent = kept.since(through)
    after = [each for each in log if each.offset >= through.get(each.partition, 0)]
    assert told(kept, recent) == wanted(after)
    assert recent.missing == 0
    assert name_of(recent.ranges) == f"0:12-{ends[0]} 1:0-{ends[1]} 2:20-{ends[2]}"


def test_what_was_not_read_is_counted_and_named() -> None:
    log, kept = made_log(80, 2, 5, ITEMS), RecentLog()
    for partition, begin, end in ((0, 4, 10), (0, 13, 20), (1, 0, 6), (1, 30, 40)):
        kept.put(run_of(partition, begin, end, log))
    recent = kept.since({0: 2, 1: 3})
    assert name_of(recent.ranges) == "0:4-10+13-20 1:3-6+30-40"
    assert recent.missing == 2 + 3 + 24
    assert name_of(kept.ranges_since({0: 100, 1: 100})) == ""


def test_a_log_that_begins_anew_takes_the_place_of_what_was_kept() -> None:
    log, other, kept = made_log(40, 1, 1, ITEMS), made_log(40, 1, 2, ITEMS), RecentLog()
    kept.put(run_of(0, 0, 30, log))
    kept.put(run_of(0, 0, 10, other))
    assert told(kept, kept.since({})) == wanted([each for each in other if each.offset < 10])
    assert name_of(kept.ranges_since({})) == "0:0-10"


def test_beyond_its_bound_the_older_half_goes_and_is_missing() -> None:
    names: list[int | str] = [f"item {at}" for at in range(300)]
    log, kept = made_log(300, 2, 3, names), RecentLog(most=100)
    read = 0
    for end in range(20, 400, 20):
        for partition in (0, 1):
            kept.put(run_of(partition, end - 20, end, log))
        recent = kept.since({})
        assert kept.kept == len(recent.items) <= 100
        assert len(kept.items()) <= 200 + 1
        ranges = recent.ranges
        held = [
            each
            for each in log
            if any(at <= each.offset < to for at, to in ranges.get(each.partition, ()))
        ]
        assert told(kept, recent) == wanted(held)
        read = max(read, recent.missing)
    assert kept.generation > 0
    assert read > 0


def test_few_stretches_of_a_partition_are_kept_apart() -> None:
    log, kept = made_log(200, 1, 9, ITEMS), RecentLog()
    for begin in range(0, 200, 10):
        kept.put(run_of(0, begin, begin + 5, log))
    (ranges,) = kept.since({}).ranges.values()
    assert len(ranges) == 8
    assert ranges[-1] == (190, 195)


@pytest.mark.parametrize("through", [{}, {0: 5}])
def test_nothing_read_is_nothing(through: dict[int, int]) -> None:
    recent = RecentLog().since(through)
    assert (len(recent.items), recent.missing, name_of(recent.ranges)) == (0, 0, "")
