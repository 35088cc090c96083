"""Exploration: what a place shows has the probability that is told of it, exactly."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from everfresh.contracts.errors import ExperimentRefused, ForeignRecord
from everfresh.contracts.experiments.definition import (
    Arm,
    decode_definition,
    encode_definition,
    require_sound,
)
from everfresh.contracts.experiments.exploration import Explore, explored
from tests.contracts.experiments.definitions import define

DRAWS = 20_000


def test_each_place_shows_each_candidate_as_often_as_its_propensity_says() -> None:
    """Five standard deviations; the draws are fixed by their users."""
    shown: Counter[tuple[int, int | None]] = Counter()
    for user in range(DRAWS):
        drawn = explored(4, [1], 6, 0.3, ("s", user, "r"))
        assert drawn.candidate_of[1] is None
        assert drawn.propensities[1] == 1.0
        others = [each for each in drawn.candidate_of if each is not None]
        assert len(others) == len(set(others))
        for at, (candidate, propensity) in enumerate(
            zip(drawn.candidate_of, drawn.propensities, strict=True)
        ):
            shown[at, candidate] += 1
            if at != 1:
                assert propensity == (0.7 if candidate is None else 0.3 / 6)
    for at in (0, 2, 3):
        for candidate in (None, *range(6)):
            chance = 0.7 if candidate is None else 0.3 / 6
            spread = (DRAWS * chance * (1 - chance)) ** 0.5
            assert abs(shown[at, candidate] - DRAWS * chance) < 5 * spread


def test_what_one_place_shows_says_nothing_of_whether_another_explores() -> None:
    both = Counter(
        tuple(each is None for each in explored(2, [], 50, 0.5, ("s", user, "r")).candidate_of)
        for user in range(DRAWS)
    )
    spread = (DRAWS * 0.25 * 0.75) ** 0.5
    assert all(abs(number - DRAWS / 4) < 5 * spread for number in both.values())


def test_with_fewer_candidates_than_places_the_last_places_explore() -> None:
    drawn = explored(5, [4], 2, 0.5, ("s", 1, "r"))
    assert [propensity == 1.0 for propensity in drawn.propensities] == [
        True,
        True,
        False,
        False,
        True,
    ]
    none = explored(3, [], 0, 0.5, ("s", 1, "r"))
    assert (none.candidate_of, none.propensities) == ([None] * 3, [1.0] * 3)
    assert explored(0, [], 9, 0.5, ("s", 1, "r")).propensities == []


def test_an_exploration_can_be_computed_again() -> None:
    assert explored(9, [], 99, 0.5, ("s", 1, "r")) == explored(9, [], 99, 0.5, ("s", 1, "r"))
    assert explored(9, [], 99, 0.5, ("s", 1, "r")) != explored(9, [], 99, 0.5, ("s", 1, "q"))


@pytest.mark.parametrize("explore", [{"share": 0.0}, {"share": 1.0}, {"share": 0.5, "top": 0}])
def test_a_definition_explores_a_part_of_its_places_or_is_foreign(explore: object) -> None:
    tree = msgspec.to_builtins(define())
    tree["arms"][0]["explore"] = explore
    with pytest.raises(ForeignRecord):
        decode_definition(msgspec.json.encode(tree))


def test_an_interleaved_answer_does_not_explore() -> None:
    arms = [Arm("a", 0.5, explore=Explore(0.1)), Arm("b", 0.5, "fast")]
    with pytest.raises(ExperimentRefused, match="arm a explores, and an interleaved answer is"):
        require_sound(define(arms=arms, interleaved=True))


def test_an_earlier_release_leaves_an_experiment_that_explores_out() -> None:
    made = define(arms=[Arm("a", 0.5, explore=Explore(0.1, 50, 3600)), Arm("b", 0.5)])
    assert b'"format":2' in encode_definition(made)
    assert decode_definition(encode_definition(made)).arms == made.arms
