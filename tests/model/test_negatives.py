"""Negatives: even, without repeats, by seed, and from a window's pool."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.model import negatives as negatives_of
from everfresh.model.negatives import Negatives, clashes, draw_items
from everfresh.model.vocabulary.vocabulary import Vocabulary


def vocabulary(items: int, expired: int = 0) -> Vocabulary:
    """The first ``expired`` rows are free again."""
    made = Vocabulary()
    made.admit(list(range(items + expired)), 1)
    made.admit(list(range(expired, items + expired)), 9)
    assert len(made.expire(5)) == expired
    return made


@pytest.mark.parametrize(("items", "expired"), [(30, 0), (1000, 0), (1000, 400), (300, 2000)])
def test_draws_are_different_items_ascend_and_follow_the_seed(items: int, expired: int) -> None:
    known = vocabulary(items, expired)
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        rows = draw_items(known, 20)
        assert len(rows) == 20
        assert (np.diff(rows) > 0).all()
        assert np.isin(rows, known.item_rows()).all()
        draws.append(rows.tolist())
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(("items", "expired"), [(50, 0), (120, 60)])
def test_every_item_is_drawn_as_often_as_any_other(items: int, expired: int) -> None:
    known = vocabulary(items, expired)
    torch.manual_seed(1)
    counts = np.zeros(known.rows)
    for _ in range(4000):
        counts[draw_items(known, 8)] += 1
    share = 8 / items
    error = np.sqrt(4000 * share * (1 - share))
    assert counts[: expired + 1].sum() == 0
    assert (abs(counts[expired + 1 :] - 4000 * share) < 4.5 * error).all()


def test_a_small_catalogue_is_drawn_whole_and_draws_nothing() -> None:
    negatives = Negatives(vocabulary(9, 3), 9)
    state = torch.random.get_rng_state()
    rows, each = negatives.draw()
    assert (rows.tolist(), each) == (list(range(4, 13)), 1.0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_batches_draw_from_a_windows_pool_and_stand_for_all_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(negatives_of, "POOL", 40)
    negatives = Negatives(vocabulary(5000), 16)
    torch.manual_seed(1)
    negatives.gather_pool()
    drawn = [negatives.draw() for _ in range(20)]
    assert {each for _, each in drawn} == {5000 / 16}
    assert all(len(set(rows.tolist())) == 16 for rows, _ in drawn)
    assert len({row for rows, _ in drawn for row in rows.tolist()}) == 40
    negatives.release_pool()
    other = {row for _ in range(20) for row in negatives.draw()[0].tolist()}
    assert len(other) > 40


def test_a_pools_rows_are_drawn_a_few_times_before_another_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(negatives_of, "POOL", 40)
    negatives = Negatives(vocabulary(5000), 16)
    torch.manual_seed(1)
    negatives.gather_pool()
    steps = negatives_of.TURNS * 40 // 16
    pools = [{row for _ in range(steps) for row in negatives.draw()[0].tolist()} for _ in range(30)]
    assert all(len(pool) == 40 for pool in pools)
    assert len(set.union(*pools)) > 900


def test_clashes_are_the_places_of_targets_among_the_drawn() -> None:
    drawn, targets = torch.tensor([2, 5, 9]), torch.tensor([9, 1, 5, 11, 2])
    assert clashes(drawn, targets).tolist() == [2, -1, 1, -1, 0]
    assert clashes(drawn[:0], targets).tolist() == [-1] * 5
