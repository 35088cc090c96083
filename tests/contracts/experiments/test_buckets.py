"""The published values of GrowthBook's SDK specification, and what a ramp may do."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.experiments.buckets import (
    arm_of,
    bucket,
    bucket_after,
    bucket_ranges,
    fnv1a32,
    namespace_bucket,
)


@pytest.mark.parametrize(
    ("seed", "value", "version", "expected"),
    [
        ("seed", "a", 2, 0.0505),
        ("foo", "ab", 2, 0.2575),
        ("()**(%$##$%#$#", '___)((*":&', 2, 0.0128),
        ("b", "a", 1, 0.946),
        ("", "b", 1, 0.077),
        ("seed", "a", 3, None),
        ("seed", "a", 0, None),
    ],
)
def test_buckets_are_those_of_growthbooks_specification(
    seed: str, value: str, version: int, expected: float | None
) -> None:
    assert bucket(seed, value, version) == expected


def test_the_hash_is_fnv_1a_over_utf_16() -> None:
    # The first are published with the hash (draft-eastlake-fnv); the last is JavaScript's.
    assert fnv1a32("") == 0x811C9DC5
    assert fnv1a32("foobar") == 0xBF9CF968
    assert fnv1a32("é") == ((0x811C9DC5 ^ 0xE9) * 0x01000193) & 0xFFFFFFFF
    assert fnv1a32("😀") == fnv1a32("\ud83d\ude00")


@given(st.text(), st.text())
def test_a_seed_that_is_hashed_once_gives_the_same_buckets(seed: str, value: str) -> None:
    assert bucket_after(fnv1a32(seed), value) == bucket(seed, value, 2)


@pytest.mark.parametrize(
    ("arms", "coverage", "weights", "expected"),
    [
        (2, 0.5, None, [(0, 0.25), (0.5, 0.75)]),
        (3, 0.2, [0.2, 0.3, 0.5], [(0, 0.04), (0.2, 0.26), (0.5, 0.6)]),
        (2, 1.0, [0.4, 0.1], [(0, 0.5), (0.5, 1)]),
        (4, 1.0, [0.5, 0.5], [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]),
        (2, -0.2, None, [(0, 0), (0.5, 0.5)]),
        (2, 1.2, None, [(0, 0.5), (0.5, 1)]),
        (0, 1.0, None, []),
    ],
)
def test_ranges_are_those_of_growthbooks_specification(
    arms: int, coverage: float, weights: list[float] | None, expected: list[tuple[float, float]]
) -> None:
    made = bucket_ranges(arms, coverage, weights)
    assert [pytest.approx(each) for each in expected] == made


def test_a_bucket_at_a_ranges_upper_end_is_outside() -> None:
    ranges = [(0.0, 0.25), (0.5, 0.75)]
    assert [arm_of(at, ranges) for at in (0.0, 0.2499, 0.25, 0.5, 0.7499, 0.75, 0.9999)] == [
        0,
        0,
        None,
        1,
        1,
        None,
        None,
    ]


def test_a_namespace_places_users_by_version_1_of_the_hash() -> None:
    for user in map(str, range(200)):
        assert namespace_bucket("checkout", user) == bucket("__checkout", user, 1)


weights = st.lists(st.integers(0, 100), min_size=1, max_size=6).filter(any)


@given(weights, st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted), st.integers(0, 9999))
def test_a_ramp_only_widens_ranges_and_moves_nobody(
    parts: list[int], coverages: list[float], place: int
) -> None:
    shares = [part / sum(parts) for part in parts]
    before, after = (bucket_ranges(len(shares), each, shares) for each in coverages)
    for (begin, end), (later_begin, later_end) in zip(before, after, strict=True):
        assert (begin, end <= later_end) == (later_begin, True)
    arm = arm_of(place / 10_000, before)
    if arm is not None:
        assert arm_of(place / 10_000, after) == arm


def test_users_are_split_by_weight_and_seeds_are_independent() -> None:
    ranges = bucket_ranges(2, 1.0, [0.3, 0.7])
    pairs: Counter[tuple[int | None, int | None]] = Counter()
    for user in map(str, range(20_000)):
        pairs[
            arm_of(bucket("one", user, 2) or 0.0, ranges),
            arm_of(bucket("two", user, 2) or 0.0, ranges),
        ] += 1
    for (first, second), number in pairs.items():
        expected = (0.3, 0.7)[first or 0] * (0.3, 0.7)[second or 0]
        assert number / 20_000 == pytest.approx(expected, abs=0.015)
