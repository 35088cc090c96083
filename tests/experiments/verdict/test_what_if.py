"""What an arm that explores would have had with another share of places: exact, and as it was."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from everfresh.contracts.outcome import Feedback, Outcome
from everfresh.experiments.off_policy import ips, snips
from everfresh.experiments.verdict.words import words
from tests.experiments.verdict.made_outcomes import LIMITS, METRICS, outcome, reported, tallied

SHARE, CANDIDATES = 0.2, 10
OWN, OTHER = (0.3, 0.2), 0.35
"""Chances of a click at the two places' own items, and of one at a candidate."""


def by_chance(
    offset: int, user: int | str, explored: Sequence[int], clicked: Sequence[int]
) -> Outcome:
    made = outcome(offset, user, "treatment")
    exposure = msgspec.structs.replace(
        made.exposure,
        explored=list(explored),
        propensities=[SHARE / CANDIDATES if at in explored else 1 - SHARE for at in (0, 1)],
        explored_share=SHARE,
    )
    feedback = [Feedback(at, 0, 0, "click", "a", at, None) for at in clicked]
    return msgspec.structs.replace(made, exposure=exposure, feedback=feedback)


def simulated(seed: int, users: int) -> list[Outcome]:
    draw = random.Random(seed)
    made: list[Outcome] = []
    for user in range(users):
        for _ in range(draw.randint(1, 3)):
            explored = [at for at in (0, 1) if draw.random() < SHARE]
            chances = [OTHER if at in explored else OWN[at] for at in (0, 1)]
            clicked = [at for at in (0, 1) if draw.random() < chances[at]]
            made.append(by_chance(len(made), user, explored, clicked))
    return made


def test_estimates_are_those_of_the_samples_one_by_one() -> None:
    outcomes = simulated(3, 300)
    report = reported(outcomes)
    rewards, logged, of_explored = [], [], []
    for each in outcomes:
        for at in (0, 1):
            rewards.append(float(any(event.position == at for event in each.feedback)))
            logged.append(each.exposure.propensities[at])
            of_explored.append(at in each.exposure.explored)
    for share in (0.0, 1.0):
        target = [share / CANDIDATES if other else 1 - share for other in of_explored]
        (found,) = [
            each
            for each in report.what_if
            if each.metric == "click_through" and each.share == share
        ]
        assert found.ips is not None
        assert found.ips.difference == pytest.approx(2 * ips(rewards, logged, target).value)
        assert found.snips == pytest.approx(2 * snips(rewards, logged, target).value)
        assert found.effective == pytest.approx(ips(rewards, logged, target).effective)
        assert found.places == len(rewards)


def test_the_logged_share_gives_what_was_seen() -> None:
    outcomes = simulated(3, 300)
    from everfresh.experiments.verdict.exploration import what_if  # noqa: PLC0415

    arm = tallied(outcomes).arms["treatment"]
    assert arm.explored is not None
    found = what_if("treatment", arm.explored, METRICS, SHARE, SHARE, 0.05, 5000)[0]
    assert found.ips is not None
    clicks = sum(len(each.feedback) for each in outcomes)
    assert found.ips.difference == pytest.approx(clicks / len(outcomes))
    assert found.effective == pytest.approx(found.places)


def test_estimates_by_users_are_unbiased_and_their_intervals_cover_the_truth() -> None:
    """120 experiments of simulated users; the seeds are fixed."""
    truth = {0.0: sum(OWN), 1.0: 2 * OTHER}
    values: dict[float, list[float]] = {0.0: [], 1.0: []}
    once: list[bool] = []
    always: list[bool] = []
    for seed in range(120):
        for each in reported(simulated(seed, 120), metrics=METRICS[:1]).what_if:
            assert each.ips is not None
            assert each.always is not None
            values[each.share].append(each.ips.difference)
            once.append(each.ips.low <= truth[each.share] <= each.ips.high)
            always.append(each.always.low <= truth[each.share] <= each.always.high)
    for share, found in values.items():
        assert abs(np.mean(found) - truth[share]) < 4 * np.std(found) / np.sqrt(len(found))
    assert 0.91 < np.mean(once) < 0.985
    assert np.mean(always) >= 0.95


def test_values_of_any_size_are_estimated() -> None:
    """A tenth of a cent each: a value has a unit of its own, so none is too small."""
    bought = [
        msgspec.structs.replace(
            each,
            feedback=[
                msgspec.structs.replace(event, type="purchase", value=0.001)
                for event in each.feedback
            ],
        )
        for each in simulated(3, 300)
    ]
    clicks = [each.ips for each in reported(simulated(3, 300), metrics=METRICS[:1]).what_if]
    values = [each.ips for each in reported(bought, metrics=METRICS[2:3]).what_if]
    assert len(values) == 2
    for seen, found in zip(clicks, values, strict=True):
        assert seen is not None
        assert found is not None
        assert found.difference == pytest.approx(seen.difference / 1000)


def test_whether_a_user_did_something_at_all_is_not_estimated_from_places() -> None:
    """Such a user counts once, at whichever places it was; weights would count parts of a user."""
    outcomes = [
        msgspec.structs.replace(
            each,
            feedback=[msgspec.structs.replace(one, type="purchase") for one in each.feedback],
        )
        for each in simulated(3, 300)
    ]
    found = [each for each in reported(outcomes).what_if if each.metric == "conversion"]
    assert [(each.ips, each.snips) for each in found] == [(None, None)] * 2
    assert {each.why_not for each in found} == {
        "what a user does at least once is no sum over places"
    }


def test_an_experiment_that_does_not_explore_has_no_estimates() -> None:
    assert reported([outcome(n, n, "treatment", ["click"]) for n in range(60)]).what_if == []


@pytest.mark.parametrize(
    "changes",
    [
        {"propensities": [0.8]},
        {"propensities": [0.8, 0.0]},
        {"propensities": [0.8, 1.5]},
        {"explored_share": 1.0},
        {"explored_share": 0.3},
    ],
)
def test_propensities_that_cannot_be_are_left_out_and_told(changes: dict[str, object]) -> None:
    outcomes = simulated(3, 60)
    odd = by_chance(9_999, 5, [], [0])
    odd = msgspec.structs.replace(odd, exposure=msgspec.structs.replace(odd.exposure, **changes))
    sums = tallied([*outcomes, odd])
    assert sums.arms["treatment"].explored == tallied(outcomes).arms["treatment"].explored
    notes = words(reported([*outcomes, odd])).notes
    assert any("propensities that cannot be" in note for note in notes)


def test_estimates_counted_in_any_order_are_the_same_and_repeats_count_once() -> None:
    outcomes = simulated(3, 60)
    shuffled = random.Random(1).sample(outcomes, len(outcomes))
    whole = tallied(outcomes).arms["treatment"].explored
    assert tallied([*shuffled, *outcomes]).arms["treatment"].explored == whole
    moved = [*outcomes, outcome(9_999, 0, "control")]
    without = [each for each in outcomes if each.exposure.user_id != 0]
    assert tallied(moved).arms["treatment"].explored == tallied(without).arms["treatment"].explored
    assert LIMITS.answers_per_user >= len(outcomes)
