"""Hit rate, NDCG and reciprocal rank of known ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everfresh.model.metrics import MISS, scores


def test_metrics_of_known_ranks() -> None:
    measured = scores(np.array([1, 2, 10, 11, MISS]), (10, 1))
    assert measured["hr10"] == pytest.approx(3 / 5)
    assert measured["ndcg10"] == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 5)
    assert measured["mrr10"] == pytest.approx((1 + 1 / 2 + 1 / 10) / 5)
    assert measured["hr1"] == measured["ndcg1"] == measured["mrr1"] == pytest.approx(1 / 5)


def test_no_targets_score_zero() -> None:
    assert scores(np.array([], dtype=np.int64)) == {"hr10": 0.0, "ndcg10": 0.0, "mrr10": 0.0}
