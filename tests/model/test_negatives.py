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


@pytest.mark.parametrize("without", [5, 300, 900])
def test_every_item_but_those_left_out_is_drawn_as_often(without: int) -> None:
    known = vocabulary(1000)
    left_out = np.sort(np.random.default_rng(2).choice(known.item_rows(), without, replace=False))
    torch.manual_seed(1)
    counts = np.zeros(known.rows)
    for _ in range(2000):
        counts[draw_items(known, 20, left_out)] += 1
    share = 20 / (1000 - without)
    error = np.sqrt(2000 * share * (1 - share))
    assert counts[0] == counts[left_out].sum() == 0
    rest = np.setdiff1d(known.item_rows(), left_out)
    assert (abs(counts[rest] - 2000 * share) < 4.5 * error).all()


def test_a_small_catalogue_is_drawn_whole_and_draws_nothing() -> None:
    negatives = Negatives(vocabulary(9, 3), 9)
    state = torch.random.get_rng_state()
    rows, each = negatives.draw()
    assert (rows.tolist(), each.tolist()) == (list(range(4, 13)), [0.0] * 9)
    assert torch.equal(torch.random.get_rng_state(), state)


OWN = np.arange(5, 5 + 300)


def test_own_rows_and_a_pools_are_drawn_and_stand_for_all_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(negatives_of, "POOL", 40)
    negatives = Negatives(vocabulary(5000), 64)
    torch.manual_seed(1)
    negatives.gather_pool(20, OWN)
    strange = set[int]()
    for _ in range(20):
        rows, each = negatives.draw()
        assert len(rows) == 64
        assert (rows.diff() > 0).all()
        mine = torch.isin(rows, torch.from_numpy(OWN))
        torch.testing.assert_close(each[mine].exp().sum(), torch.tensor(300.0, dtype=torch.float64))
        torch.testing.assert_close(
            each[~mine].exp().sum(), torch.tensor(4700.0, dtype=torch.float64)
        )
        assert (~mine).sum() == 40 * negatives_of.TURNS // 20
        strange |= set(rows[~mine].tolist())
    assert 25 < len(strange) <= 40
    negatives.release_pool()
    rows, each = negatives.draw()
    assert each.unique().tolist() == pytest.approx([np.log(5000 / 64)])
    assert len({row for _ in range(20) for row in negatives.draw()[0].tolist()}) > 900


def test_what_stands_for_all_items_is_their_sum_in_the_mean() -> None:
    known = vocabulary(20_000)
    weights = np.random.default_rng(4).exponential(size=known.rows)
    negatives = Negatives(known, 400)
    sums = []
    for seed in range(40):
        torch.manual_seed(seed)
        negatives.gather_pool(10, OWN)
        rows, each = negatives.draw()
        sums.append((weights[rows.numpy()] * each.exp().numpy()).sum())
    truth = weights[known.item_rows()].sum()
    assert abs(np.mean(sums) / truth - 1) < 4.5 * np.std(sums) / truth / np.sqrt(len(sums))


@pytest.mark.parametrize(
    ("steps", "read"), [(1, 0), (1, 9), (3, 20_000), (40, 500), (900, 2_000), (900, 9_000)]
)
def test_a_window_touches_few_rows_that_it_does_not_read(steps: int, read: int) -> None:
    known = vocabulary(20_000)
    negatives = Negatives(known, 128)
    own = known.item_rows()[:read]
    torch.manual_seed(3)
    negatives.gather_pool(steps, own)
    counts = np.zeros(known.rows)
    for _ in range(steps):
        rows = negatives.draw()[0].numpy()
        assert len(rows) == 128
        counts[rows] += 1
    strange = np.delete(counts, own)
    assert (strange > 0).sum() <= negatives_of.POOL
    assert strange.max() < 8 * negatives_of.TURNS


def test_a_window_that_reads_few_items_is_held_against_others_all_the_same() -> None:
    negatives = Negatives(vocabulary(40_000), 128)
    torch.manual_seed(3)
    negatives.gather_pool(2_000, np.arange(1, 6))
    assert len(negatives.draw()[0]) == 64


def test_a_catalogue_that_a_window_would_touch_anyway_has_no_pool() -> None:
    negatives = Negatives(vocabulary(10_000), 200)
    torch.manual_seed(1)
    negatives.gather_pool(negatives_of.WHOLE * 10_000 // 200, OWN)
    assert negatives.draw()[1].unique().tolist() == pytest.approx([np.log(50)])


def test_clashes_are_the_places_of_targets_among_the_drawn() -> None:
    drawn, targets = torch.tensor([2, 5, 9]), torch.tensor([9, 1, 5, 11, 2])
    assert clashes(drawn, targets).tolist() == [2, -1, 1, -1, 0]
    assert clashes(drawn[:0], targets).tolist() == [-1] * 5
