"""Sticky experiments: whoever was shown an arm keeps it, whatever coverage and weights become."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignments
from everfresh.contracts.experiments.definition import (
    Arm,
    Definition,
    decode_definition,
    encode_definition,
    require_sound,
)
from everfresh.contracts.experiments.first_arm import (
    MOST,
    FirstArm,
    decode_first_arms,
    encode_first_arms,
)
from everfresh.experiments.lifecycle import close_arm, ramp, reopen_arm, reweigh
from tests.contracts.experiments.definitions import define

USERS = range(1, 301)
FIRST = define(sticky=True, coverage=0.5)


class Shown:
    """Which arms users were shown first, as a state has it; counts how often it is asked."""

    def __init__(self, users: Mapping[UserId, FirstArm] | None = None) -> None:
        self.users = dict(users or {})
        self.asked = 0
        self.gone = False

    def __call__(self, user: UserId) -> dict[str, FirstArm] | None:
        self.asked += 1
        if self.gone:
            return None
        shown = self.users.get(user)
        return {} if shown is None else {shown.experiment: shown}


def shown_all(definition: Definition, version: int) -> Shown:
    assignments = Assignments([(version, definition)])
    made = {}
    for user in USERS:
        given = assignments.assign(user)
        if given.experiment is not None:
            assert given.sticky
            made[user] = FirstArm(given.experiment, given.arm, version, given.probability)
    return Shown(made)


def test_a_ramp_down_moves_nobody_who_was_shown_an_arm_and_takes_in_fewer_others() -> None:
    before = Assignments([(4, FIRST)])
    shown = shown_all(FIRST, 4)
    some = Shown({user: arm for user, arm in shown.users.items() if int(user) % 2})
    smaller = ramp({"green": (4, FIRST)}, "green", 0.1, 9)
    assert (smaller.coverage, smaller.moved) == (0.1, True)
    after = Assignments([(7, smaller)], some)
    by_hash = Assignments([(7, smaller)])
    left = 0
    for user in USERS:
        given = after.assign(user)
        if user in some.users:
            was = before.assign(user)
            assert given == was  # arm, track, and the definition and share that gave it
        else:
            assert given == by_hash.assign(user)
            left += user in shown.users and given == NO_EXPERIMENT
    assert left > 20


def test_new_weights_move_nobody_who_was_shown_an_arm() -> None:
    shown = shown_all(FIRST, 4)
    for weights in ({"control": 0.9, "treatment": 0.1}, {"control": 1.0, "treatment": 0.0}):
        changed = reweigh({"green": (4, FIRST)}, "green", weights, 9)
        after = Assignments([(7, changed)], shown)
        moved = Assignments([(7, changed)])
        assert any(after.assign(user).arm != moved.assign(user).arm for user in USERS)
        for user, first in shown.users.items():
            given = after.assign(user)
            told = (given.arm, given.definition_version, given.probability, given.sticky)
            assert told == (first.arm, 4, first.probability, True)


def test_a_user_who_was_shown_nothing_is_where_the_new_weights_say() -> None:
    changed = reweigh({"green": (4, FIRST)}, "green", {"control": 0.9, "treatment": 0.1}, 9)
    nobody = Assignments([(7, changed)], Shown())
    assert [nobody.assign(user) for user in USERS] == [
        Assignments([(7, changed)]).assign(user) for user in USERS
    ]


def test_first_arms_are_looked_up_once_an_answer_and_only_where_the_hash_does_not_say() -> None:
    shown = Shown()
    wider = ramp({"green": (4, FIRST)}, "green", 0.8, 9)
    for definition in (define(), FIRST, wider):
        assert not definition.moved
        Assignments([(4, definition)], shown).assign(1)
    assert shown.asked == 0
    both = [
        (4, ramp({"green": (4, FIRST)}, "green", 0.0, 9)),
        (5, ramp({"blue": (5, define("blue", sticky=True))}, "blue", 0.0, 9)),
    ]
    assert Assignments(both, shown).assign(1) == NO_EXPERIMENT
    assert shown.asked == 1


def test_an_arm_that_is_closed_leaves_whoever_was_shown_it_and_takes_them_back() -> None:
    shown = shown_all(FIRST, 4)
    changed = reweigh({"green": (4, FIRST)}, "green", {"control": 0.2, "treatment": 0.8}, 9)
    closed = close_arm({"green": (7, changed)}, "green", "treatment", "harm", 10)
    opened = reopen_arm({"green": (8, closed)}, "green", "treatment", 11)
    for user, first in shown.users.items():
        given = Assignments([(8, closed)], shown).assign(user)
        assert given == NO_EXPERIMENT if first.arm == "treatment" else given.arm == "control"
        assert Assignments([(9, opened)], shown).assign(user).arm == first.arm


def test_where_first_arms_are_not_known_nobody_is_in_rather_than_in_another_arm() -> None:
    shown = shown_all(FIRST, 4)
    shown.gone = True
    changed = reweigh({"green": (4, FIRST)}, "green", {"control": 0.9, "treatment": 0.1}, 9)
    assert {Assignments([(7, changed)], shown).assign(user) for user in USERS} == {NO_EXPERIMENT}


def test_other_applications_are_told_the_first_arm_too() -> None:
    shown = shown_all(FIRST, 4)
    changed = ramp({"green": (4, FIRST)}, "green", 0.0, 9)
    after = Assignments([(7, changed)]).with_first_arms(shown)
    for user, first in shown.users.items():
        given = after.assign_in("green", user)
        assert given is not None
        assert given.arm == first.arm


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda known: ramp(known, "plain", 0.1, 1), "a ramp raises it"),
        (lambda known: ramp(known, "green", 0.5, 1), "a ramp raises it"),
        (lambda known: reweigh(known, "plain", {}, 1), "only an experiment that was started with"),
        (lambda known: reweigh(known, "green", {"control": 1.0}, 1), "give a weight to each"),
        (
            lambda known: reweigh(known, "green", {"control": 0.5, "treatment": 0.2}, 1),
            "sum to 0.7",
        ),
        (lambda _: require_sound(define(sticky=True, holdout=True)), "cannot go with a holdout"),
        (lambda _: require_sound(define(sticky=True, diverted=True)), "go with diverted data"),
        (
            lambda _: require_sound(
                define(sticky=True, interleaved=True, arms=[Arm("a", 0.5), Arm("b", 0.5, "fast")])
            ),
            "cannot go with interleaving",
        ),
    ],
)
def test_a_change_that_would_move_people_is_refused(change, message) -> None:  # type: ignore[no-untyped-def]
    known = {"green": (4, FIRST), "plain": (5, define("plain", coverage=0.5))}
    with pytest.raises(ExperimentRefused, match=message):
        change(known)


def test_an_earlier_release_leaves_a_sticky_experiment_out() -> None:
    assert b'"format":2' in encode_definition(FIRST)
    assert decode_definition(encode_definition(FIRST)).sticky


def test_a_users_row_keeps_the_newest_experiments() -> None:
    row = [FirstArm(f"e{number}", "control", number, 0.5) for number in range(MOST + 5)]
    assert decode_first_arms(encode_first_arms(row)) == row[5:]
    assert decode_first_arms(None) == []
