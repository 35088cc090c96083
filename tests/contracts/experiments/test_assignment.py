"""Who gets which arm, and which of several experiments decides."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment, Assignments
from everfresh.contracts.experiments.definition import Arm, Definition, Namespace
from tests.contracts.experiments.definitions import define

USERS = range(2_000)
HALF = [Namespace("page", 0.0, 0.5), Namespace("page", 0.5, 1.0)]


def assignments(*definitions: Definition) -> Assignments:
    """Those definitions, written in this order."""
    return Assignments(list(enumerate(definitions)))


def test_without_an_experiment_everybody_has_the_default_arm() -> None:
    assert assignments().assign(7) == NO_EXPERIMENT == Assignment(None, "default", "default")
    assert len(assignments(define(stopped=9))) == 0
    assert assignments(define(stopped=9)).assign(7) == NO_EXPERIMENT


def test_an_assignment_names_experiment_arm_track_version_and_probability() -> None:
    made = Assignments([(17, define(arms=[Arm("control", 0.25), Arm("treatment", 0.75)]))])
    expected = {
        Assignment("green", "control", "default", 17, 0.25),
        Assignment("green", "treatment", "default", 17, 0.75),
    }
    assert {made.assign(user) for user in USERS} == expected


def test_a_user_keeps_the_arm_and_a_number_and_its_text_have_one_arm() -> None:
    made = assignments(define())
    for user in USERS:
        assert made.assign(user) == made.assign(user) == made.assign(str(user))


@given(st.integers() | st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_user_who_is_in_an_arm_is_in_it_after_any_ramp(
    user: int | str, coverage: float, more: float
) -> None:
    before, after = sorted((coverage, more))
    first = assignments(define(coverage=before)).assign(user)
    later = Assignments([(8, define(coverage=after, since=0))]).assign(user)
    if first.experiment is not None:
        assert (later.experiment, later.arm, later.track) == ("green", first.arm, first.track)


def test_coverage_is_the_share_of_users_who_are_in() -> None:
    made = assignments(define(coverage=0.2))
    arms = Counter(made.assign(user).arm for user in range(20_000))
    assert arms["control"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert arms["treatment"] / 20_000 == pytest.approx(0.1, abs=0.01)


def test_experiments_in_one_namespace_have_no_user_in_common() -> None:
    one, two = (define(name, namespace=half) for name, half in zip("ab", HALF, strict=True))
    alone, other, both = assignments(one), assignments(two), assignments(one, two)
    seen: Counter[str | None] = Counter()
    for user in USERS:
        first, second = alone.assign(user).experiment, other.assign(user).experiment
        assert None in (first, second)
        assert both.assign(user).experiment == (first or second)
        seen[first or second] += 1
    assert min(seen["a"], seen["b"]) > len(USERS) * 0.4
    assert seen[None] == 0


def test_of_two_experiments_that_claim_a_user_the_one_started_first_decides() -> None:
    older, younger = define("older", coverage=0.5), define("a-younger")
    both = assignments(older, younger)
    assert both.names() == ["older", "a-younger"]
    for user in USERS:
        alone = assignments(older).assign(user)
        expected = "a-younger" if alone == NO_EXPERIMENT else "older"
        assert both.assign(user).experiment == expected


def test_a_ramp_does_not_change_which_experiment_is_the_older_one() -> None:
    older, younger = define("older"), define("younger")
    ramped = Assignments([(1, younger), (2, define("older", since=0))])
    assert ramped.names() == assignments(older, younger).names() == ["older", "younger"]


def test_the_clocks_of_those_who_define_decide_nothing() -> None:
    early, late = define("z", started=9_999), define("a", started=1)
    assert assignments(early, late).names() == ["z", "a"]


def test_the_younger_experiment_is_split_evenly_among_those_that_are_left_to_it() -> None:
    both = assignments(define("older", coverage=0.5), define("younger"))
    arms = Counter(
        made.arm for user in range(20_000) if (made := both.assign(user)).experiment == "younger"
    )
    assert arms["control"] / arms.total() == pytest.approx(0.5, abs=0.02)


def test_who_is_held_out_is_in_no_experiment_even_if_the_holdout_is_younger() -> None:
    held = define("holdout", holdout=True, coverage=0.1, arms=[Arm("held", 1.0)])
    both = assignments(define("green"), held)
    assert both.names() == ["holdout", "green"]
    arms = Counter(both.assign(user).experiment for user in range(20_000))
    assert arms["holdout"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert arms["green"] + arms["holdout"] == 20_000


def test_users_claimed_by_two_definitions_of_one_namespace_are_in_the_older_alone() -> None:
    # Two writers at the same moment, or a foreign one: nothing checked the overlap.
    one = define("one", namespace=Namespace("page", 0.0, 0.6))
    two = define("two", namespace=Namespace("page", 0.4, 1.0))
    both = assignments(one, two)
    for user in USERS:
        places = {place.experiment: place.assignment for place in both.places(user)}
        assert both.assign(user) == (places["one"] or places["two"])
    assert any(all(place.assignment for place in both.places(user)) for user in USERS)


def test_a_flag_of_one_experiment_says_what_is_served() -> None:
    both = assignments(define("older", coverage=0.5), define("younger"))
    for user in USERS:
        served = both.assign(user)
        for name in ("older", "younger"):
            expected = served if served.experiment == name else NO_EXPERIMENT
            assert both.assign_in(name, user) == expected
        assert both.assign_in("unknown", user) is None
