"""Who gets a row when a window brings more newcomers than it may, and who makes room."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load

from everfresh.contracts.event import ItemId, UserId
from everfresh.model.vocabulary import waiting
from everfresh.model.vocabulary.admission import Limits, surplus
from everfresh.model.vocabulary.vocabulary import Vocabulary

TIGHT = Limits(4, 1_000)


def admit(
    vocabulary: Vocabulary, pairs: list[tuple[ItemId, UserId]], label: int, limits: Limits = TIGHT
) -> None:
    items, users = [item for item, _ in pairs], [user for _, user in pairs]
    left = vocabulary.left_waiting(items, users, limits)
    vocabulary.admit(items, label, users, limits)
    assert not any(item in vocabulary for item in left)
    assert all(vocabulary.sightings(item) for item in left)


@given(
    windows=st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=60)),
    admit_after=st.integers(1, 3),
)
def test_a_window_that_brings_no_flood_is_admitted_as_without_limits(
    windows: list[list[tuple[int, int]]], admit_after: int
) -> None:
    wide = Limits(1_000, 1_000)
    bounded, free = Vocabulary(admit_after), Vocabulary(admit_after)
    for label, pairs in enumerate(windows):
        admit(bounded, list(pairs), label, wide)
        for item, user in pairs:  # one by one: the order of rows is that of sightings
            free.admit([item], label, [user])
        assert bounded.expire(label - 3, wide) == free.expire(label - 3)
        assert list(map(bounded.row, range(41))) == list(map(free.row, range(41)))
        assert list(map(bounded.sightings, range(41))) == list(map(free.sightings, range(41)))


def test_of_a_flood_only_what_two_users_sighted_gets_a_row_most_users_first() -> None:
    vocabulary = Vocabulary()
    flood: list[tuple[ItemId, UserId]] = [(f"evil {n}", n) for n in range(20)]
    again = [(f"evil {n}", n) for n in range(20)]  # the same user once more vouches for nothing
    good: list[tuple[ItemId, UserId]] = [("two", 1), ("three", 1), ("two", 2), ("three", 2)]
    admit(vocabulary, [*flood, *good, ("three", "2"), *again], 1, Limits(2, 1_000))
    assert [item for item in ("two", "three") if item in vocabulary] == ["two", "three"]
    assert len(vocabulary) == 2


def test_a_flood_of_items_with_two_users_each_gets_no_more_rows_than_a_window_may_bring() -> None:
    vocabulary = Vocabulary()
    pairs: list[tuple[ItemId, UserId]] = [(item, user) for item in range(50) for user in "ab"]
    admit(vocabulary, [*pairs, (49, "c")], 1)
    assert len(vocabulary) == 101 // 8
    assert [item in vocabulary for item in (49, 0, 10, 11)] == [True, True, True, False]


def test_what_a_flood_left_waiting_gets_its_row_with_the_next_user_also_after_a_restart() -> None:
    vocabulary = Vocabulary()
    admit(vocabulary, [(item, f"user {item}") for item in range(9)], 1)
    assert len(vocabulary) == 0
    vocabulary = Vocabulary.decode(vocabulary.encode())
    flood: list[tuple[ItemId, UserId]] = [(f"evil {n}", 0) for n in range(9)]
    admit(vocabulary, [*flood, (3, "user 3"), (5, "another")], 2)
    assert [item in vocabulary for item in (3, 5)] == [False, True]
    admit(vocabulary, [(3, "user 3")], 3)  # the flood is over
    assert 3 in vocabulary


def test_what_waits_is_bounded_and_the_vouched_and_the_newest_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "_MOST", 6)
    vocabulary = Vocabulary(admit_after=9)
    admit(vocabulary, [("two", 1), ("two", 2), ("one", 1)], 1)
    for label in range(2, 6):
        admit(vocabulary, [(f"evil {label} {n}", 1) for n in range(9)], label)
        vocabulary.expire(0, TIGHT)
    kept = [item for item in ("two", "one") if vocabulary.sightings(item)]
    assert kept == ["two"]
    assert [n for n in range(9) if vocabulary.sightings(f"evil 5 {n}")] == [4, 5, 6, 7, 8]


def test_items_that_were_hardly_sighted_make_room_the_longest_unsighted_first() -> None:
    vocabulary = Vocabulary()
    usual = Limits(1_000, 1_000_000)
    tight = Limits(2, 1_000)  # twenty that were hardly sighted, or twice as many as others
    admit(vocabulary, [(item, 1) for item in range(5)] * 3, 1, usual)
    for label in range(2, 6):
        admit(vocabulary, [(f"{label} {n}", 1) for n in range(10)], label, usual)
        freed = vocabulary.expire(0, tight)
        assert len(freed) == (10 if label > 3 else 0)
    assert all(item in vocabulary for item in range(5)), "who comes back stays"
    for label in range(2, 6):
        assert (f"{label} 0" in vocabulary) == (label > 3)


def test_no_more_items_have_rows_than_the_setting_says() -> None:
    vocabulary = Vocabulary()
    limits = Limits(100, 30)
    admit(vocabulary, [(item, 1) for item in range(20) for _ in range(1 + item)], 1, limits)
    admit(vocabulary, [(item, 1) for item in range(100, 120)], 2, limits)
    assert len(vocabulary.expire(0, limits)) == 10
    assert [item for item in range(20) if item in vocabulary] == list(range(10, 20))
    assert all(item in vocabulary for item in range(100, 120)), "they had no time yet"


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(0, 5)), max_size=60),
    st.integers(1, 3),
    st.integers(1, 40),
)
def test_whatever_was_sighted_enough_makes_room_and_nothing_twice(
    rows: list[tuple[int, int, int]], new_items: int, most: int
) -> None:
    table = np.array(rows, np.int64).reshape(-1, 3)
    held = np.arange(len(table))[::2]
    limits = Limits(new_items, most)
    leaving = surplus(table, held, 1, limits).tolist() if len(held) > limits.fewest else []
    assert leaving == sorted(set(leaving))
    assert set(leaving) <= set(held.tolist())
    stay = [table[slot] for slot in held if slot not in leaving]
    assert len(stay) <= max(most, 0)
    passing = sum(int(row[0] <= 2 and row[1] == row[2]) for row in stay)
    assert passing <= max(10 * new_items, 2 * (len(stay) - passing) + 2 * len(leaving))


def test_a_vocabulary_whose_waiting_items_have_no_witness_is_kept_as_ever() -> None:
    vocabulary = Vocabulary(admit_after=2)
    vocabulary.admit(["a", "b"], 3)
    rest = msgspec.msgpack.decode(load(vocabulary.encode())["rest"].tobytes())
    assert rest == [3, 2, [], [], [["a", [1, 3, 3]], ["b", [1, 3, 3]]]]
    assert Vocabulary.decode(vocabulary.encode()).encode() == vocabulary.encode()
    vocabulary.admit(["b", "c"], 4, ["x", "y"])
    assert Vocabulary.decode(vocabulary.encode()).encode() == vocabulary.encode()
