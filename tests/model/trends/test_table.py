"""The pool: one score for all rows or for some, and weights that follow what was right lately."""

from __future__ import annotations

import numpy as np
import pytest

from everfresh.model.trends.contexts import BACK, LATELY, PAUSE_S, Contexts, Sightings
from everfresh.model.trends.counts import HALF_LIVES
from everfresh.model.trends.evidence import Evidence
from everfresh.model.trends.fitting import Rivals, draw_rivals, fit_weights
from everfresh.model.trends.table import (
    AGAIN,
    COLUMNS,
    EARLIER_WEIGHTS,
    TrendTable,
    network_alone,
    widened,
)
from everfresh.model.trends.trends import Trends

ROWS = 40
SHARES = np.full(ROWS, -np.log(ROWS), np.float32)
RANDOM = np.random.default_rng(5)
NOW = 1_000_000


def table(weights: np.ndarray | None = None) -> TrendTable:
    trends = Trends(ROWS)
    rows = RANDOM.integers(1, ROWS, 500)
    at = NOW - RANDOM.choice([PAUSE_S, 3], 500)
    trends.learn(Sightings.of(rows, np.append(0, rows[:-1]), np.full(500, NOW), at))
    if weights is not None:
        trends.weigh(weights)
    return trends.table(SHARES)


def fitted_weights(
    made: TrendTable, logits: np.ndarray, rivals: Rivals, asked: Contexts, targets: np.ndarray
) -> np.ndarray:
    evidence = Evidence.joined([Evidence.of(made, rivals.rows, asked)])
    return fit_weights(made.weights, logits, rivals, evidence, targets)


def contexts(number: int) -> Contexts:
    """Of users of whom a third has come back after a pause."""
    asked = []
    for known in RANDOM.integers(0, 30, number):
        at = NOW - RANDOM.choice([PAUSE_S, PAUSE_S - 1, 3])
        rows = RANDOM.integers(0, ROWS, known + 1)
        asked.append(Contexts.before(rows, np.full(known + 1, at), known))
    return Contexts.joined(asked)


def histories(asked: Contexts) -> list[np.ndarray]:
    """Rows of all events before; those that are not lately are no items."""
    return [
        np.append(np.zeros(max(0, known - LATELY), np.int64), lately[LATELY - min(known, LATELY) :])
        for known, lately in zip(asked.known, asked.lately, strict=True)
    ]


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
        if known and NOW - asked.at[at] >= PAUSE_S:
            mine = weights[BACK]
        followers, links = made.links(np.array([last]))
        for row in range(1, ROWS):
            link = links[0][followers[0] == row].sum(axis=0)
            again = float(row in asked.lately[at])
            parts = [logits[at, row], *made.features[row], *link, again]
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
    rows = RANDOM.permutation(np.arange(1, ROWS))[:17]
    some, among = logits[:, rows].copy(), logits[:, rows].copy()
    for at, had in enumerate(histories(asked)):
        made.pool_one(logits[at], had, int(asked.at[at]))
        made.pool_some_for_one(some[at], rows, had, int(asked.at[at]))
    # Row 0 is no item, whatever it scores.
    assert logits[:, 1:] == pytest.approx(whole[:, 1:], abs=1e-4)
    made.pool_some(among, rows, asked)
    assert some == pytest.approx(among, abs=1e-4)


def test_weights_go_to_what_was_right() -> None:
    """Targets are what is hot: a network that says nothing of it loses weight to the counts."""
    made = table()
    asked = contexts(2_000)
    odds = np.exp(made.features[1:, 0])
    targets = RANDOM.choice(np.arange(1, ROWS), 2_000, p=odds / odds.sum())
    logits = RANDOM.normal(size=(2_000, ROWS - 1)).astype(np.float32)
    rivals = Rivals(np.arange(1, ROWS), np.zeros(ROWS - 1, np.float32))
    fitted = fitted_weights(made, logits, rivals, asked, targets)
    assert (fitted[:, 0] < 0.7).all()
    assert (fitted[:, 1 : 1 + COLUMNS].sum(axis=1) > 0).all()


def test_a_place_without_targets_keeps_its_weights() -> None:
    one = Contexts.before(np.array([1, 3]), np.array([NOW, NOW]), 1)
    made, asked = table(), Contexts.joined([one] * 50)
    logits = RANDOM.normal(size=(50, ROWS - 1)).astype(np.float32)
    rivals = Rivals(np.arange(1, ROWS), np.zeros(ROWS - 1, np.float32))
    fitted = fitted_weights(made, logits, rivals, asked, np.full(50, 3))
    others = [0, 2, 3, 4, 5, BACK]
    assert (fitted[others] == made.weights[others]).all()
    assert (fitted[1] != made.weights[1]).any()
    assert (fitted[:, 0] > 0).all()


def test_rivals_of_a_large_catalogue_are_the_needed_the_hot_and_a_sample() -> None:
    number = 9_000
    trends = Trends(number)
    none = np.zeros(300, np.int64)
    trends.learn(Sightings.of(np.arange(1, 301), none, none, none))
    made = trends.table(np.full(number, -9.0, np.float32))
    items = np.arange(1, number)
    followers = np.array([[0, 8_600], [8_500, 1]])
    rivals = draw_rivals(made, items, np.array([8_000, 8_500]), followers, 4)
    assert len(rivals.rows) == len(set(rivals.rows.tolist())) < 2_200
    assert {8_000, 8_500, 8_600, *range(1, 301)} <= set(rivals.rows.tolist())
    assert np.exp(rivals.log_each).sum() == pytest.approx(len(items), rel=1e-4)
    assert 0 not in rivals.rows
    again = draw_rivals(made, items, np.array([8_000, 8_500]), followers, 4)
    assert (again.rows == rivals.rows).all()
    # However much has followed, they are no more than some thousands, and stand for all.
    many = draw_rivals(made, items, np.array([8_000]), np.arange(2_000, 8_000), 4)
    assert len(many.rows) == 1_024 + 1 + 4_096 + 1_024
    assert np.exp(many.log_each).sum() == pytest.approx(len(items), rel=1e-4)
    few = draw_rivals(made, items[:50], np.array([3]), np.zeros(0, np.int64), 4)
    assert (few.rows == items[:50]).all()
    assert (few.log_each == 0).all()


def test_who_comes_back_and_what_was_had_lately_get_weights_of_their_own() -> None:
    """Users who come back choose what is hot and nothing that they have had; others what they have
    had lately."""
    made, number = table(), 900
    rows = RANDOM.integers(1, ROWS, (number, 5))
    back = np.arange(number) % 2 == 0
    at = np.where(back, NOW - PAUSE_S, NOW - 60)
    asked = Contexts.joined(
        [
            Contexts.before(np.append(each, 0), np.full(6, time), 5)
            for each, time in zip(rows, at, strict=True)
        ]
    )
    targets = np.where(back, np.argmax(made.features[1:, 0]) + 1, rows[:, 2])
    logits = np.zeros((number, ROWS - 1), np.float32)
    rivals = Rivals(np.arange(1, ROWS), np.zeros(ROWS - 1, np.float32))
    fitted = fitted_weights(made, logits, rivals, asked, targets)
    assert fitted[BACK, AGAIN] < 0.5 < fitted[4, AGAIN]
    assert fitted[BACK, 1:4].sum() > fitted[4, 1:4].sum() + 0.5


def test_weights_of_an_earlier_build_say_what_they_said() -> None:
    """Nobody comes back by them, and nothing is had again; a trainer goes on from them."""
    old = RANDOM.normal(size=EARLIER_WEIGHTS[0]).astype(np.float32)
    wide = np.zeros(network_alone().shape, np.float32)
    wide[:BACK, np.delete(np.arange(AGAIN), [1 + len(HALF_LIVES), AGAIN - 1])] = old
    asked = contexts(50)
    new = Contexts(asked.last, asked.known, np.zeros_like(asked.at), asked.lately)
    logits = RANDOM.normal(size=(50, ROWS)).astype(np.float32)
    made = table(old)
    again = table(wide)
    again = type(made)(
        made.features, made.chance, made.followers, made.clock, again.weights, made.time
    )
    mine, wanted, some = logits.copy(), logits.copy(), logits[:, 1:].copy()
    made.pool(mine, asked)
    again.pool(wanted, new)
    made.pool_some(some, np.arange(1, ROWS), asked)
    assert (mine == wanted).all()
    assert some == pytest.approx(wanted[:, 1:], abs=1e-4)
    for at, had in enumerate(histories(asked)):
        one, few = logits[at].copy(), logits[at, 1:].copy()
        made.pool_one(one, had, int(asked.at[at]))
        made.pool_some_for_one(few, np.arange(1, ROWS), had, int(asked.at[at]))
        assert one[1:] == pytest.approx(wanted[at, 1:], abs=1e-4)
        assert few == pytest.approx(wanted[at, 1:], abs=1e-4)
    assert (made.weights == wide[:BACK]).all()
    assert (widened(made.weights)[:BACK] == wide[:BACK]).all()
    assert (widened(made.weights)[BACK] == wide[0]).all()
    rivals = Rivals(np.arange(1, ROWS), np.zeros(ROWS - 1, np.float32))
    fitted = fitted_weights(made, logits[:, 1:], rivals, asked, RANDOM.integers(1, ROWS, 50))
    assert fitted.shape == network_alone().shape
