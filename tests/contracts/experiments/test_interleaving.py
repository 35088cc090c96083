"""The team draft: fair between the teams, whatever they rank, and the same when computed again."""

from __future__ import annotations

from itertools import islice, repeat

import pytest

from everfresh.contracts.experiments.draws import coins, draw_bytes
from everfresh.contracts.experiments.interleaving import FIRST, SECOND, team_draft

A = ["a", "b", "c", "d", "e"]
B = ["b", "e", "a", "f", "g"]


def test_each_round_both_teams_bring_their_best_item_that_is_not_there_yet() -> None:
    """The worked example of Radlinski et al. 2008, section 5, by hand."""
    picked = team_draft((A, B), 4, [False, True])
    assert [(each.item, each.team, each.rank) for each in picked] == [
        ("a", FIRST, 0),
        ("b", SECOND, 0),
        ("e", SECOND, 1),
        ("c", FIRST, 2),
    ]


@pytest.mark.parametrize("k", range(1, 11))
def test_teams_have_as_many_items_and_none_comes_twice(k: int) -> None:
    for begins in (False, True):
        picked = team_draft((A, B), k, repeat(begins))
        items = [each.item for each in picked]
        assert len(items) == len(set(items)) == min(k, 7)
        counts = [sum(each.team == team for each in picked) for team in (FIRST, SECOND)]
        if k <= 5:
            assert abs(counts[0] - counts[1]) == k % 2


def test_an_answer_of_one_item_is_either_teams_best_as_often() -> None:
    picked = [team_draft((A, B), 1, coins("s", user, "r"))[0] for user in range(2_000)]
    assert {(each.item, each.team) for each in picked} == {("a", FIRST), ("b", SECOND)}
    seconds = sum(each.team == SECOND for each in picked)
    assert 900 < seconds < 1_100  # five standard deviations; the draw is fixed


def test_equal_rankings_give_that_ranking_and_every_place_to_either_team_as_often() -> None:
    seconds = [0] * 5
    for user in range(2_000):
        picked = team_draft((A, A), 5, coins("s", user, "r"))
        assert [each.item for each in picked] == A
        for place, each in enumerate(picked):
            seconds[place] += each.team == SECOND
    assert all(880 < number < 1_120 for number in seconds)


def test_a_team_without_further_items_lets_the_other_go_on_alone() -> None:
    picked = team_draft(([], B), 4, repeat(False))
    assert [(each.item, each.team) for each in picked] == [(item, SECOND) for item in B[:4]]
    assert team_draft(([], []), 4, repeat(False)) == []
    assert team_draft((A, B), 0, repeat(True)) == []


def test_what_does_not_fit_is_passed_over() -> None:
    picked = team_draft((A, B), 4, repeat(False), lambda item: item not in {"a", "e"})
    assert [each.item for each in picked] == ["b", "f", "c", "g"]


def test_coins_are_fair_and_can_be_computed_again() -> None:
    drawn = list(islice(coins("green", 7, "r-1"), 600))
    assert drawn == list(islice(coins("green", 7, "r-1"), 600))
    assert 240 < sum(drawn) < 360
    others = [("blue", 7, "r-1"), ("green", "7", "r-1"), ("green", 7, "r-2")]
    for seed, user, request in others:
        assert list(islice(coins(seed, user, request), 600)) != drawn
    assert draw_bytes("green", 7, "r-1", 8) == draw_bytes("green", 7, "r-1", 64)[:8]
