"""The vocabulary: rows of items through admission, expiry and bytes."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from everfresh.contracts.errors import CorruptVersion
from everfresh.model.row_changes import RowChange
from everfresh.model.vocabulary.item_ids import LONG
from everfresh.model.vocabulary.sightings import Sightings
from everfresh.model.vocabulary.vocabulary import FORMAT, MAX_ACTIONS, UNKNOWN, Vocabulary

IDS = st.integers(-(2**63), 2**63 - 1) | st.text(min_size=1, max_size=5)
SIGHTINGS = st.lists(st.sampled_from([1, 2, 3, "1", "2", "a", -7, 2**62]) | IDS, max_size=60)


@given(SIGHTINGS, st.integers(1, 4))
def test_rows_and_items_are_inverses_and_rows_of_sighted_items_never_move(
    items: list[int | str], admit_after: int
) -> None:
    vocabulary = Vocabulary(admit_after)
    rows: dict[int | str, int] = {}
    for item in items:
        vocabulary.admit([item])
        for known, row in rows.items():
            assert vocabulary.row(known) == row
        if item in vocabulary:
            rows[item] = vocabulary.row(item)
    assert sorted(rows.values()) == list(range(1, len(vocabulary) + 1))
    assert all(vocabulary.item(row) == item for item, row in rows.items())


@given(SIGHTINGS, st.integers(1, 4))
def test_an_item_is_admitted_at_its_nth_sighting_and_every_sighting_counts(
    items: list[int | str], admit_after: int
) -> None:
    vocabulary = Vocabulary(admit_after)
    added = vocabulary.admit(items)
    seen = Counter(items)
    assert {item for item in seen if item in vocabulary} == {
        item for item, number in seen.items() if number >= admit_after
    }
    assert added == len(vocabulary)
    for item, number in seen.items():
        sightings = vocabulary.sightings(item)
        assert sightings is not None
        assert sightings.count == number
    assert vocabulary.counts.sum() == sum(n for n in seen.values() if n >= admit_after)


@given(SIGHTINGS, SIGHTINGS, st.integers(1, 3))
def test_bytes_bring_back_the_same_vocabulary_which_grows_the_same(
    before: list[int | str], after: list[int | str], admit_after: int
) -> None:
    vocabulary = Vocabulary(admit_after)
    vocabulary.admit_actions(["view", "like"])
    vocabulary.admit(before)
    again = Vocabulary.decode(vocabulary.encode())
    assert again.encode() == vocabulary.encode()
    for copy in (vocabulary, again):
        copy.admit(after)
        copy.admit_actions(["skip"])
    assert again.encode() == vocabulary.encode()
    assert all(again.row(item) == vocabulary.row(item) for item in [*before, *after])
    assert again.action("skip") == vocabulary.action("skip") == 3


STEPS = st.lists(st.tuples(st.lists(st.integers(1, 9), max_size=8), st.integers(0, 5)), max_size=25)
"""Windows: the items sighted in each, and how many windows back one may have been sighted last."""


def live(vocabulary: Vocabulary) -> dict[int | str, int]:
    return {vocabulary.item(int(row)): int(row) for row in vocabulary.item_rows()}


@given(STEPS, st.integers(1, 3))
def test_whatever_is_admitted_and_expired_items_and_their_rows_are_a_bijection(
    steps: list[tuple[list[int], int]], admit_after: int
) -> None:
    vocabulary, rows = Vocabulary(admit_after), {}
    for label, (items, patience) in enumerate(steps):
        vocabulary.admit(items, label)
        freed = vocabulary.expire(label - patience)
        now = live(vocabulary)
        assert all(vocabulary.row(item) == row for item, row in now.items())
        assert len(now) == len(set(now.values())) == len(vocabulary)
        taken = set(now.values())
        free = set(vocabulary.free_rows().tolist())
        assert taken | free == set(range(1, vocabulary.rows))
        assert not taken & free
        assert set(freed) <= free
        # An item that is still there has not moved.
        assert all(rows[item] == row for item, row in now.items() if item in rows)
        rows = now
        assert not vocabulary.counts[sorted({UNKNOWN} | free)].any()
        assert all(vocabulary.sightings(item).last >= label - patience for item in now)


@given(STEPS, st.integers(0, 25), st.integers(1, 3))
def test_read_back_anywhere_it_admits_and_expires_as_if_it_had_not_been(
    steps: list[tuple[list[int], int]], cut: int, admit_after: int
) -> None:
    vocabulary, again = Vocabulary(admit_after), Vocabulary(admit_after)
    for label, (items, patience) in enumerate(steps):
        if label == cut:
            again = Vocabulary.decode(again.encode())
        for copy in (vocabulary, again):
            copy.admit(items, label)
            copy.expire(label - patience)
    assert again.encode() == vocabulary.encode()


def test_a_freed_row_goes_to_the_next_newcomer_the_lowest_first() -> None:
    vocabulary = Vocabulary()
    vocabulary.admit(["a", "b", "c"], 1)
    vocabulary.admit(["b"], 5)
    assert vocabulary.expire(5) == [1, 3]
    assert vocabulary.row("a") == UNKNOWN
    with pytest.raises(IndexError, match="row 1 holds no item"):
        vocabulary.item(1)
    assert live(vocabulary) == {"b": 2}
    vocabulary.admit(["d", "a", "e"], 6)
    assert [vocabulary.row(item) for item in "dae"] == [1, 3, 4]
    assert vocabulary.sightings("a") == Sightings(1, 6, 6)


def test_an_item_that_waits_for_its_row_is_forgotten_as_well() -> None:
    vocabulary = Vocabulary(admit_after=2)
    vocabulary.admit(["a", "b"], 1)
    vocabulary.admit(["b"], 3)
    assert vocabulary.sightings("a") is not None
    vocabulary.expire(2)
    assert vocabulary.sightings("a") is None
    vocabulary.admit(["a"], 4)
    assert "a" not in vocabulary


def test_integers_and_strings_are_different_items() -> None:
    vocabulary = Vocabulary()
    vocabulary.admit([7, "7"])
    assert (vocabulary.row(7), vocabulary.row("7")) == (1, 2)
    assert vocabulary.item(2) == "7"


def test_unknown_items_and_actions_share_code_zero() -> None:
    vocabulary = Vocabulary()
    assert vocabulary.row("x") == vocabulary.action("x") == UNKNOWN
    for row in (0, -1, 1):
        with pytest.raises(IndexError):
            vocabulary.item(row)


def test_actions_beyond_the_table_stay_unknown() -> None:
    vocabulary = Vocabulary()
    vocabulary.admit_actions(str(number) for number in range(MAX_ACTIONS + 5))
    assert vocabulary.action(str(MAX_ACTIONS - 1)) == MAX_ACTIONS
    assert vocabulary.action(str(MAX_ACTIONS)) == UNKNOWN


def changes(before: Vocabulary, after: Vocabulary) -> dict[str, RowChange]:
    """What a store keeps of ``after``: rows that differ in any bit."""
    old, new = load(before.encode()), load(after.encode())
    out = {}
    for name, table in new.items():
        if old[name].shape[1:] != table.shape[1:]:
            out[name] = RowChange(table.shape, None, table)
            continue
        common = min(len(old[name]), len(table))
        differ = table[:common] != old[name][:common]
        rows = np.unique(np.nonzero(differ)[0])
        rows = np.concatenate([rows, np.arange(common, len(table))])
        out[name] = RowChange(table.shape, rows, table[rows])
    return out


LONG_ID = "a name that is longer than a slot of the table may ever become"
NAMES = st.sampled_from([1, 2, 3, 4, -7, "a", "bb", "a longer name", LONG_ID, LONG_ID + "!"])
WINDOWS = st.lists(st.tuples(st.lists(NAMES, max_size=8), st.integers(0, 5)), max_size=12)


@given(WINDOWS, WINDOWS, st.integers(1, 3))
def test_changed_rows_make_one_version_the_next(
    before: list[tuple[list[int | str], int]],
    after: list[tuple[list[int | str], int]],
    admit_after: int,
) -> None:
    vocabulary = Vocabulary(admit_after)

    def live_on(windows: list[tuple[list[int | str], int]], label: int) -> None:
        for items, patience in windows:
            vocabulary.admit(items, label)
            vocabulary.admit_actions(str(item) for item in items)
            vocabulary.expire(label - patience)
            label += 1

    live_on(before, 1)
    taken = Vocabulary.decode(vocabulary.encode())
    older = Vocabulary.decode(vocabulary.encode())
    live_on(after, 50)
    for _ in range(2):  # overwriting twice is harmless
        taken.take(changes(older, vocabulary))
        assert taken.encode() == vocabulary.encode()
        assert live(taken) == live(vocabulary)
        assert np.array_equal(taken.counts, vocabulary.counts)
        assert taken.free_rows().tolist() == vocabulary.free_rows().tolist()
        assert all(taken.row(item) == row for item, row in live(vocabulary).items())
    assert len(taken) == len(vocabulary)
    taken.admit([LONG_ID, 4, "new"], 99)
    vocabulary.admit([LONG_ID, 4, "new"], 99)
    assert taken.encode() == vocabulary.encode()


def test_changes_of_another_vocabulary_are_refused() -> None:
    small, large = Vocabulary(), Vocabulary()
    small.admit([1, 2])
    large.admit(["a", "b", "c"])
    with pytest.raises(CorruptVersion, match="do not follow"):
        large.take(changes(large, small))
    fitting = changes(small, large)
    small.take(fitting)
    with pytest.raises(CorruptVersion, match="first misfit kinds"):
        small.take({name: change for name, change in fitting.items() if name != "kinds"})
    doubled = Vocabulary()
    doubled.admit(["z", "a"])
    with pytest.raises(CorruptVersion, match="a vocabulary of 3 rows with 2 items"):
        large.take({**changes(large, large), **partly(changes(doubled, large), row=0, name="b")})


def partly(whole: dict[str, RowChange], row: int, name: str) -> dict[str, RowChange]:
    """Only the id of one row is overwritten, by one that stands elsewhere already."""
    ids, kinds = whole["ids"], whole["kinds"]
    slot = np.zeros((1, ids.shape[1]), np.uint8)
    slot[0, : len(name)] = np.frombuffer(name.encode(), np.uint8)
    at = np.array([row])
    length = np.array([len(name)], np.uint8)
    return {"ids": RowChange(ids.shape, at, slot), "kinds": RowChange(kinds.shape, at, length)}


def tables(
    kinds: bytes = b"", ids: bytes = b"", rest: bytes | None = None, sightings: int | None = None
) -> bytes:
    said = msgspec.msgpack.encode([FORMAT, 1, [], [], []]) if rest is None else rest
    slots = len(kinds)
    return save(
        {
            "kinds": np.frombuffer(kinds, np.uint8),
            "ids": np.frombuffer(ids, np.uint8).reshape(slots, 8),
            "sightings": np.zeros((slots if sightings is None else sightings, 3), np.int64),
            "rest": np.frombuffer(said, np.uint8),
        }
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no msgpack",
        save({}),
        tables(rest=msgspec.msgpack.encode([2, 1, [], [], []])),
        tables(rest=b"no msgpack"),
        tables(kinds=bytes([1, 1]), ids=b"a" + bytes(7) + b"a" + bytes(7)),
        tables(kinds=bytes([LONG]), ids=bytes(8)),
        tables(kinds=bytes([99]), ids=bytes(8)),
        tables(kinds=bytes([1]), ids=b"\xff" + bytes(7)),
        tables(kinds=bytes([1]), ids=b"a" + bytes(7), sightings=0),
    ],
    ids=range(10),
)
def test_foreign_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(CorruptVersion):
        Vocabulary.decode(raw)
