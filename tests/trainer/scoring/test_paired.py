from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import MISS
from everfresh.trainer.scoring.paired import Paired, discounted_gains, pair


def examples(sizes: list[int]) -> list[DecodedExample]:
    entries = [Interaction(n, "click", n) for n in range(max(sizes, default=0))]
    return [DecodedExample(n, [], entries[:size], [], []) for n, size in enumerate(sizes)]


def test_the_gain_is_discounted_by_the_rank_and_nothing_for_a_miss() -> None:
    assert discounted_gains(np.array([1, 3, MISS])).tolist() == [1.0, 0.5, 0.0]


def test_the_loss_is_a_mean_over_targets_and_its_error_counts_examples() -> None:
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 6, 40).tolist()
    theirs, ours = rng.integers(1, 50, (2, sum(sizes)))
    paired = pair(ours, theirs, examples(sizes))
    lost = discounted_gains(theirs) - discounted_gains(ours)
    assert paired.loss == pytest.approx(lost.mean())
    parts = np.split(lost, np.cumsum(sizes)[:-1])
    residuals = [part.sum() - paired.loss * len(part) for part in parts]
    expected = math.sqrt(np.sum(np.square(residuals)) * 40 / 39) / sum(sizes)
    assert paired.error == pytest.approx(expected)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=20), st.data())
def test_windows_add_up_as_if_they_were_one(sizes: list[int], data: st.DataObject) -> None:
    ranks = st.lists(st.integers(1, 30), min_size=sum(sizes), max_size=sum(sizes)).map(np.array)
    ours, theirs = data.draw(ranks), data.draw(ranks)
    cut = data.draw(st.integers(1, len(sizes) - 1))
    at = sum(sizes[:cut])
    parts = [
        pair(ours[:at], theirs[:at], examples(sizes[:cut])),
        pair(ours[at:], theirs[at:], examples(sizes[cut:])),
    ]
    whole = pair(ours, theirs, examples(sizes))
    for name in whole.__struct_fields__:
        assert getattr(parts[0] + parts[1], name) == pytest.approx(getattr(whole, name))


def test_worse_needs_a_loss_beyond_the_tolerance_that_is_sure() -> None:
    sizes = [1] * 100
    theirs = np.array([1, 3] * 50)
    slightly = np.where(np.arange(100) % 10 == 0, 7, theirs)
    much = np.full(100, 30)
    assert not pair(theirs, theirs, examples(sizes)).worse(0.0, 0.0)
    assert pair(slightly, theirs, examples(sizes)).worse(0.0, 2.0)
    assert not pair(slightly, theirs, examples(sizes)).worse(0.1, 2.0)
    assert pair(much, theirs, examples(sizes)).worse(0.1, 3.0)
    assert not pair(theirs, much, examples(sizes)).worse(0.0, 0.0)


def test_few_examples_prove_nothing() -> None:
    bad, good = np.full(9, 90), np.full(9, 1)
    assert not pair(bad, good, examples([1] * 9)).worse(0.0, 0.0)
    assert not Paired().worse(0.0, 0.0)
