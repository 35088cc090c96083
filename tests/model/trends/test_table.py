"""The pool: one score for all rows or for some, and weights that follow what was right lately."""

from __future__ import annotations

import numpy as np
import pytest

from everfresh.model.trends.fitting import Evidence, Rivals, draw_rivals, fit_weights
from everfresh.model.trends.table import Contexts, TrendTable, network_alone
from everfresh.model.trends.trends import Trends

ROWS = 40
SHARES = np.full(ROWS, -np.log(ROWS), np.float32)
RANDOM = np.random.default_rng(5)


def table(weights: np.ndarray | None = None) -> TrendTable:
    trends = Trends(ROWS)
    rows = RANDOM.integers(1, ROWS, 500)
    trends.learn(np.append(0, rows[:-1]), rows)
    if weights is not None:
        trends.weigh(weights)
    return trends.table(SHARES)


def fitted_weights(
    made: TrendTable, logits: np.ndarray, rivals: Rivals, asked: Contexts, targets: np.ndarray
) -> np.ndarray:
    evidence = Evidence.joined([Evidence.of(made, rivals.rows, asked.last)])
    return fit_weights(made.weights, logits, rivals, evidence, asked, targets)


def contexts(number: int) -> Contexts:
    return Contexts(RANDOM.integers(0, ROWS, number), RANDOM.integers(0, 14, number))


def test_without_anything_learnt_a_score_is_the_networks() -> None:
    logits = RANDOM.normal(size=(7, ROWS)).astype(np.float32)
    pooled = logits.copy()
    Trends(ROWS).table(SHARES).pool(pooled, contexts(7))
    assert (pooled == logits).all()


def test_a_score_is_the_weighted_sum_of_its_parts() -> None:
    weights = RANDOM.normal(size=network_alone().shape).astype(np.float32)
    made, asked = table(weights), contexts(9)
    logits = RANDOM.normal(size=(9, ROWS)).astype(np.float32)
    pooled = logits.copy()
    made.pool(pooled, asked)
    for at, (last, known) in enumerate(zip(asked.last, asked.known, strict=True)):
        mine = weights[sum(known >= begin for begin in (1, 2, 3, 5, 10))]
        followers, links = made.links(np.array([last]))
        for row in range(1, ROWS):
            link = links[0][followers[0] == row].sum(axis=0)
            parts = [logits[at, row], *made.features[row], *link]
            assert pooled[at, row] == pytest.approx(float(np.dot(mine, parts)), abs=1e-3)


def test_some_rows_score_as_they_do_among_all() -> None:
    made, asked = table(RANDOM.normal(size=network_alone().shape).astype(np.float32)), contexts(50)
    logits = RANDOM.normal(size=(50, ROWS)).astype(np.float32)
    rows = RANDOM.permutation(np.arange(1, ROWS))[:17]
    some, whole = logits[:, rows].copy(), logits.copy()
    made.pool(whole, asked)
    made.pool_some(some, rows, asked)
    assert some == pytest.approx(whole[:, rows], abs=1e-4)
    nothing = logits[:, :0].copy()
    made.pool_some(nothing, rows[:0], asked)


def test_one_users_scores_are_those_among_many_users() -> None:
    made, asked = table(RANDOM.normal(size=network_alone().shape).astype(np.float32)), contexts(50)
    logits = RANDOM.normal(size=(50, ROWS)).astype(np.float32)
    whole = logits.copy()
    made.pool(whole, asked)
    for row, last, known in zip(logits, asked.last.tolist(), asked.known.tolist(), strict=True):
        made.pool_one(row, last, known)
    # Row 0 is no item, whatever it scores.
    assert logits[:, 1:] == pytest.approx(whole[:, 1:], abs=1e-4)


def test_weights_go_to_what_was_right() -> None:
    """Targets are what is hot: a network that says nothing of it loses weight to the counts."""
    made = table()
    asked = contexts(600)
    odds = np.exp(made.features[1:, 0])
    targets = RANDOM.choice(np.arange(1, ROWS), 600, p=odds / odds.sum())
    logits = RANDOM.normal(size=(600, ROWS - 1)).astype(np.float32)
    rivals = Rivals(np.arange(1, ROWS), np.zeros(ROWS - 1, np.float32))
    fitted = fitted_weights(made, logits, rivals, asked, targets)
    assert (fitted[:, 0] < 0.7).all()
    assert (fitted[:, 1:5].sum(axis=1) > 0).all()


def test_a_place_without_targets_keeps_its_weights() -> None:
    made, asked = table(), Contexts(np.ones(50, np.int64), np.full(50, 1))
    logits = RANDOM.normal(size=(50, ROWS - 1)).astype(np.float32)
    rivals = Rivals(np.arange(1, ROWS), np.zeros(ROWS - 1, np.float32))
    fitted = fitted_weights(made, logits, rivals, asked, np.full(50, 3))
    assert (fitted[[0, 2, 3, 4, 5]] == made.weights[[0, 2, 3, 4, 5]]).all()
    assert (fitted[1] != made.weights[1]).any()
    assert (fitted[:, 0] > 0).all()


def test_rivals_of_a_large_catalogue_are_the_needed_the_hot_and_a_sample() -> None:
    number = 9_000
    trends = Trends(number)
    trends.learn(np.zeros(300, np.int64), np.arange(1, 301))
    made = trends.table(np.full(number, -9.0, np.float32))
    items = np.arange(1, number)
    rivals = draw_rivals(made, items, np.array([8_000, 8_500]), 4)
    assert len(rivals.rows) == len(set(rivals.rows.tolist())) < 2_200
    assert {8_000, 8_500, *range(1, 301)} <= set(rivals.rows.tolist())
    assert np.exp(rivals.log_each).sum() == pytest.approx(len(items), rel=1e-4)
    again = draw_rivals(made, items, np.array([8_000, 8_500]), 4)
    assert (again.rows == rivals.rows).all()
    few = draw_rivals(made, items[:50], np.array([3]), 4)
    assert (few.rows == items[:50]).all()
    assert (few.log_each == 0).all()
