"""Batches: each target is predicted once, and codes of values and events."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.errors import StateFormatError
from everfresh.contracts.sequence import decode_entries, encode_entry
from everfresh.model.network.batches import (
    VALUE_BUCKETS,
    Batch,
    cut_into_chunks,
    derive_seed,
    encode_entries,
    encode_events,
    encode_example,
    make_batches,
    query_batch,
    value_bucket,
)
from everfresh.model.vocabulary.vocabulary import Vocabulary
from tests.model.streams import SMALL, example, interactions, stream


def numbered(*sizes: tuple[int, int]) -> tuple[Vocabulary, list[list[int]], list[Batch]]:
    """Examples of ``(context, targets)`` events whose items are all different; row == item."""
    vocabulary = Vocabulary()
    vocabulary.admit_actions(["view", "rating"])
    vocabulary.admit(range(1, 1 + sum(map(sum, sizes))))
    examples, targets, at = [], [], 1
    for user, (context, number) in enumerate(sizes):
        items = list(range(at, at + context + number))
        examples.append(example(user, items[:context], items[context:]))
        targets.append(items[context:])
        at += context + number
    return vocabulary, targets, make_batches(examples, vocabulary, SMALL, 30, 7)


SIZES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=5)


@given(SIZES)
def test_every_target_is_predicted_exactly_once_per_pass(sizes: list[tuple[int, int]]) -> None:
    _, targets, batches = numbered(*sizes)
    predicted = Counter(row for b in batches for row in b.targets[b.predicts].tolist())
    assert predicted == Counter(row for rows in targets for row in rows)


@given(SIZES)
def test_each_token_is_the_event_right_before_the_one_it_predicts(
    sizes: list[tuple[int, int]],
) -> None:
    _, _, batches = numbered(*sizes)
    for batch in batches:
        starts = set(batch.offsets[:-1].tolist())
        for place in range(batch.tokens):
            before, target = int(batch.rows[place]), int(batch.targets[place])
            assert before == 0 if place in starts else before == target - 1


@given(SIZES)
def test_no_sequence_is_longer_than_max_length_and_targets_keep_half_of_it_as_context(
    sizes: list[tuple[int, int]],
) -> None:
    _, _, batches = numbered(*sizes)
    for batch in batches:
        lengths = batch.offsets.diff()
        assert int(lengths.max()) <= SMALL.max_length
        for begin, length in zip(batch.offsets.tolist(), lengths.tolist(), strict=False):
            place = int(torch.nonzero(batch.predicts[begin : begin + length])[0])
            whole = int(batch.targets[begin]) in whole_starts(sizes)
            assert whole or place >= SMALL.max_length // 2


def whole_starts(sizes: list[tuple[int, int]]) -> set[int]:
    starts, at = set(), 1
    for context, number in sizes:
        starts.add(at)
        at += context + number
    return starts


def test_the_first_event_of_a_user_is_predicted_from_the_start_token_alone() -> None:
    _, _, (batch,) = numbered((0, 3))
    assert batch.rows.tolist() == [0, 1, 2]
    assert batch.targets.tolist() == [1, 2, 3]
    assert batch.predicts.tolist() == [True, True, True]


def test_batches_keep_to_their_budget_of_tokens() -> None:
    examples = stream(4, users=20)
    vocabulary = Vocabulary()
    vocabulary.admit(range(1, 31))
    batches = make_batches(examples, vocabulary, SMALL, 30, 1)
    assert all(batch.tokens <= 30 for batch in batches)
    assert sum(int(batch.predicts.sum()) for batch in batches) == sum(
        len(e.targets) for e in examples
    )


def test_the_seed_alone_decides_order_and_grouping() -> None:
    examples = stream(4, users=20)
    vocabulary = Vocabulary()
    vocabulary.admit(range(1, 31))

    def rows(seed: int) -> list[list[int]]:
        return [b.rows.tolist() for b in make_batches(examples, vocabulary, SMALL, 50, seed)]

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)


@pytest.mark.parametrize(
    "items", [[3, 9, 40, 3], ["a1", "b2", "zz"], ["a", "long one"], [3, "a"], []]
)
def test_codes_of_stored_entries_are_those_of_the_events(items: list[int | str]) -> None:
    vocabulary = Vocabulary()
    vocabulary.admit([*range(1, 31), "a", "b2", "a1"])
    vocabulary.admit_actions(["like"])
    raw = b"".join(
        encode_entry(item, at % 2, 1_000 * at, (None, 2.5, -1.0)[at % 3])
        for at, item in enumerate(items)
    )
    codes = encode_entries(raw, ["view", "like"], vocabulary)
    assert codes.dtype == np.int64
    wanted = encode_events(decode_entries(raw, ["view", "like"]), vocabulary)
    assert np.array_equal(codes, wanted)


def test_a_stored_entry_with_an_action_beyond_the_table_is_refused() -> None:
    with pytest.raises(StateFormatError, match="code 1"):
        encode_entries(encode_entry(1, 1, 0, None), ["view"], Vocabulary())


def test_a_query_holds_the_last_events_that_fit_behind_the_start_token() -> None:
    vocabulary = Vocabulary()
    vocabulary.admit(range(1, 31))
    batch = query_batch(interactions(range(1, 31)), vocabulary, 12)
    assert batch.rows.tolist() == [0, *range(20, 31)]
    assert query_batch([], vocabulary, 12).rows.tolist() == [0]


def test_a_query_is_what_the_next_event_would_be_predicted_from() -> None:
    vocabulary = Vocabulary()
    vocabulary.admit(range(1, 31))
    for known in (0, 1, 5, 11, 12, 25):
        whole = example(1, range(1, known + 1), [30])
        (batch,) = make_batches([whole], vocabulary, SMALL, 100, 1)
        asked = query_batch(whole.context, vocabulary, SMALL.max_length)
        assert torch.equal(batch.rows, asked.rows)
        assert torch.equal(batch.times[1:], asked.times[1:])
        assert torch.equal(batch.values, asked.values)


def test_cutting_a_short_example_keeps_it_whole() -> None:
    vocabulary = Vocabulary()
    (chunk,) = cut_into_chunks(encode_example(example(1, [1, 2], [3, 4]), vocabulary), 12)
    assert (chunk.start, chunk.first, chunk.stop) == (0, 2, 4)


def test_ratings_keep_their_half_steps_and_amounts_share_a_bucket_per_doubling() -> None:
    ratings = [value_bucket(step / 2) for step in range(21)]
    assert ratings == sorted(set(ratings))
    assert value_bucket(11.0) == value_bucket(19.0) < value_bucket(25.0)
    assert value_bucket(None) == value_bucket(math.nan) == 0
    assert value_bucket(-3.0) == value_bucket(-math.inf) == 1


@given(st.none() | st.floats(width=32))
def test_every_value_has_a_code_in_the_table(value: float | None) -> None:
    assert 0 <= value_bucket(value) < VALUE_BUCKETS


@pytest.mark.parametrize("numbers", [(1,), (1, 2), (12,)])
def test_derived_seeds_differ_and_repeat(numbers: tuple[int, ...]) -> None:
    assert derive_seed(17, *numbers) == derive_seed(17, *numbers)
    assert derive_seed(17, *numbers) != derive_seed(18, *numbers)
    assert 0 <= derive_seed(17, *numbers) < 2**63
