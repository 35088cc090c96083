from __future__ import annotations

import math

import numpy as np

from everfresh.evaluation.bootstrap import MOST_DRAWN, mean_with_interval, metric_values


def test_a_margin_is_the_mean_and_its_interval_is_about_users() -> None:
    users = np.repeat(np.arange(200), 5)
    per_user = np.random.default_rng(3).normal(0.1, 1.0, 200)
    mean, low, high = mean_with_interval(np.repeat(per_user, 5), users, 1)
    assert math.isclose(mean, per_user.mean())
    # All events of a user agree, so the error is that of 200 numbers, not of 1000.
    assert math.isclose((high - low) / 2, 1.96 * per_user.std() / math.sqrt(200), rel_tol=0.15)
    some = np.repeat(per_user, 5), 7 * users + 3
    assert mean_with_interval(*some, 1) == (mean, low, high), "whatever number users have"
    assert mean_with_interval(np.zeros(0), np.zeros(0, np.int64), 1) == (0.0, 0.0, 0.0)


def test_many_users_are_drawn_in_blocks_and_the_interval_is_as_wide() -> None:
    per_user = np.random.default_rng(3).normal(0.1, 1.0, 3 * MOST_DRAWN + 7)
    users = np.arange(len(per_user))
    mean, low, high = mean_with_interval(per_user, users, 1)
    assert math.isclose(mean, per_user.mean())
    error = 1.96 * per_user.std() / math.sqrt(len(per_user))
    assert math.isclose((high - low) / 2, error, rel_tol=0.15)


def test_the_values_of_targets_are_those_of_the_metrics() -> None:
    ranks = np.array([1, 3, 10, 11, 2**62])
    assert metric_values(ranks, "hr10").tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_allclose(metric_values(ranks, "ndcg10"), [1, 0.5, 1 / math.log2(11), 0, 0])
