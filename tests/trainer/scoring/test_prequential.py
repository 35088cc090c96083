from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.metrics import Mask
from everfresh.trainer.scoring.prequential import (
    Contender,
    flatten,
    rank_window,
    score_table,
    unflatten,
)
from everfresh.trainer.scoring.target_groups import Groups


class FixedRanks:
    """Ranks that were written down, and what was asked."""

    def __init__(self, ranks: list[int]) -> None:
        self.ranks_to_give = ranks
        self.asked: list[bool] = []

    def ranks(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Mask | None = None
    ) -> NDArray[np.int64]:
        self.asked.append(exclude_seen)
        return np.array(self.ranks_to_give, np.int64)


def score_window(
    window: TrainingWindow,
    contenders: Mapping[str, Contender],
    exclude_seen: bool,
    groups: Groups | None = None,
) -> dict[str, dict[str, float]]:
    return score_table(rank_window(window, contenders, exclude_seen), groups or {})


def window(targets: int) -> TrainingWindow:
    entries = [Interaction(n, "click", n) for n in range(targets)]
    example = DecodedExample(1, [], entries, list(range(targets)), [5] * targets)
    return TrainingWindow(1, {0: (0, targets)}, [example], {0: 1})


def test_scores_are_means_over_all_targets_of_the_window() -> None:
    table = score_window(window(4), {"live": FixedRanks([1, 3, 11, 500])}, False)
    assert table == {"live": {"hr10": 0.5, "ndcg10": pytest.approx((1 + 0.5) / 4)}}


def test_the_same_exclusion_applies_to_all_contenders() -> None:
    contenders = {name: FixedRanks([1]) for name in ("live", "frozen", "markov", "vmis-knn")}
    score_window(window(1), contenders, True)
    assert [contender.asked for contender in contenders.values()] == [[True]] * 4


def test_a_contender_that_leaves_out_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="ranked 1 of 2"):
        score_window(window(2), {"live": FixedRanks([1])}, False)


def test_scores_of_a_group_are_means_over_its_targets_alone() -> None:
    groups = {
        "fresh": np.array([False, True, True, False]),
        "first": np.array([True, False, False, False]),
        "older": np.zeros(4, np.bool_),
    }
    scored = score_window(window(4), {"live": FixedRanks([1, 3, 11, 500])}, False, groups)["live"]
    assert (scored["hr10"], scored["fresh_hr10"], scored["first_hr10"]) == (0.5, 0.5, 1.0)
    assert scored["fresh_ndcg10"] == pytest.approx(0.25)
    assert set(scored) == {
        *("hr10", "ndcg10", "fresh_hr10", "fresh_ndcg10", "first_hr10", "first_ndcg10")
    }


def test_scores_go_through_a_manifest_and_back() -> None:
    table = {"live": {"hr10": 0.5, "ndcg10": 0.25}, "markov": {"hr10": 0.125, "ndcg10": 0.1}}
    table["live"]["fresh_hr10"] = 1.0
    table["vmis-knn"] = {"hr10": 0.3, "first_ndcg10": 0.2}
    assert flatten(table)["ndcg10_markov"] == 0.1
    assert unflatten(flatten(table)) == table
