from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.trainer.scoring.prequential import (
    Contender,
    flatten,
    fresh_targets,
    rank_window,
    score_table,
    unflatten,
)


class FixedRanks:
    """Ranks that were written down, and what was asked."""

    def __init__(self, ranks: list[int]) -> None:
        self.ranks_to_give = ranks
        self.asked: list[bool] = []

    def ranks(self, examples: Sequence[DecodedExample], exclude_seen: bool) -> NDArray[np.int64]:
        self.asked.append(exclude_seen)
        return np.array(self.ranks_to_give, np.int64)


def score_window(
    window: TrainingWindow,
    contenders: Mapping[str, Contender],
    exclude_seen: bool,
    fresh: NDArray[np.bool_] | None = None,
) -> dict[str, dict[str, float]]:
    return score_table(rank_window(window, contenders, exclude_seen), fresh)


def window(targets: int) -> TrainingWindow:
    entries = [Interaction(n, "click", n) for n in range(targets)]
    example = DecodedExample(1, [], entries, list(range(targets)), [5] * targets)
    return TrainingWindow(1, {0: (0, targets)}, [example], {0: 1})


def test_scores_are_means_over_all_targets_of_the_window() -> None:
    table = score_window(window(4), {"live": FixedRanks([1, 3, 11, 500])}, False)
    assert table == {"live": {"hr10": 0.5, "ndcg10": pytest.approx((1 + 0.5) / 4)}}


def test_the_same_exclusion_applies_to_all_contenders() -> None:
    contenders = {name: FixedRanks([1]) for name in ("live", "frozen", "popularity", "markov")}
    score_window(window(1), contenders, True)
    assert [contender.asked for contender in contenders.values()] == [[True]] * 4


def test_a_contender_that_leaves_out_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="ranked 1 of 2"):
        score_window(window(2), {"live": FixedRanks([1])}, False)


def test_fresh_targets_are_those_whose_item_the_last_window_brought() -> None:
    vocabulary = Vocabulary(admit_after=2)
    vocabulary.admit([0, 0], 6)
    vocabulary.admit([0, 1, 2, 2], 7)
    # 0 is older, 1 waits for its row, 2 has one, 3 was never seen.
    assert fresh_targets(window(4), vocabulary, 7).tolist() == [False, True, True, False]
    assert not fresh_targets(window(4), vocabulary, None).any()


def test_fresh_scores_are_means_over_the_fresh_targets_alone() -> None:
    fresh = np.array([False, True, True, False])
    scored = score_window(window(4), {"live": FixedRanks([1, 3, 11, 500])}, False, fresh)["live"]
    assert (scored["hr10"], scored["fresh_hr10"]) == (0.5, 0.5)
    assert scored["fresh_ndcg10"] == pytest.approx(0.25)
    none = score_window(window(4), {"live": FixedRanks([1, 3, 11, 500])}, False, fresh & False)
    assert set(none["live"]) == {"hr10", "ndcg10"}


def test_scores_go_through_a_manifest_and_back() -> None:
    table = {"live": {"hr10": 0.5, "ndcg10": 0.25}, "markov": {"hr10": 0.125, "ndcg10": 0.1}}
    table["live"]["fresh_hr10"] = 1.0
    assert flatten(table)["ndcg10_markov"] == 0.1
    assert unflatten(flatten(table)) == table
