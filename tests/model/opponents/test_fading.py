"""Counts that fade, their choice, and the order that follows them."""

from __future__ import annotations

import random

import numpy as np
import pytest

from everfresh.model.opponents.fading import HALF_LIVES, RATES, TRIED, Choice, FadingCounts
from everfresh.model.opponents.row_order import RowOrder, keys_of
from tests.model.opponents.by_hand import faded


def test_a_level_is_the_logarithm_of_what_counts_by_now() -> None:
    counts, rng = FadingCounts(), random.Random(1)
    times: dict[int, list[int]] = {slot: [] for slot in range(100)}
    counts.reach(100)
    for event in range(1, 3_000):
        slot = rng.randrange(90)
        counts.count(slot, event)
        times[slot].append(event)
    levels = counts.levels(np.arange(100))
    for at, half_life in enumerate(HALF_LIVES):
        by_hand = [faded(times[slot], 3_000, half_life) for slot in range(90)]
        assert np.exp2(levels[:90, at] - 3_000 * RATES[at]) == pytest.approx(by_hand, rel=1e-4)
        assert np.array_equal(counts.level(np.arange(100), at), levels[:, at])
    assert np.isneginf(levels[90:]).all()
    counts.clear(np.arange(100))
    assert np.isneginf(counts.levels(np.arange(100))).all()


def test_counts_that_nothing_touches_keep_their_levels() -> None:
    counts = FadingCounts()
    counts.count(1, 1)
    before = counts.levels(np.array([1]))
    for event in range(2, 10_000):
        counts.count(2, event)
    assert np.array_equal(counts.levels(np.array([1])), before)


def test_the_half_life_that_gained_most_so_far_is_chosen_and_lately_counts_more() -> None:
    choice = Choice()
    assert HALF_LIVES[choice.best] == float("inf")
    choice.judge(np.array([1.0, 1.0, 3.0, 2.0, 0.0]), 1_000)
    assert choice.best == 2
    choice.judge(np.array([0.0, 0.0, 0.0, 1.5, 0.0]), 1_000)
    assert choice.best == 3
    choice.judge(np.array([0.0, 0.1, 0.0, 0.0, 0.0]), 100 * int(HALF_LIVES[1]))
    assert choice.best == 1
    assert choice.gains.shape == (TRIED,)


def test_places_in_an_order_that_changes_are_those_of_one_sorted_afresh() -> None:
    rng = np.random.default_rng(3)
    levels = np.full(5_000, -np.inf)
    order = RowOrder(keys_of(levels[:0], np.zeros(0, np.int64)))
    for _ in range(300):
        rows = np.unique(rng.integers(0, 5_000, 40))
        gone = rows[np.isfinite(levels[rows])]
        before = keys_of(levels[gone], gone)
        # Levels come back, and many are equal.
        levels[rows] = rng.integers(0, 9, len(rows))
        if rng.random() < 0.3:
            levels[rows[:5]] = -np.inf
        come = rows[np.isfinite(levels[rows])]
        order.change(before, keys_of(levels[come], come))
        held = np.flatnonzero(np.isfinite(levels))
        expected = held[np.lexsort((held, -levels[held]))]
        assert np.array_equal(order.ahead(keys_of(levels[expected], expected)), range(len(held)))
