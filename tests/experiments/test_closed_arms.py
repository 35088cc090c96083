"""A closed arm takes nobody in, and nobody else moves."""

from __future__ import annotations

import pytest

from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import (
    Arm,
    Definition,
    decode_definition,
    encode_definition,
)
from everfresh.experiments.lifecycle import close_arm, ramp, reopen_arm
from tests.contracts.experiments.definitions import define

THREE = define("ranking", arms=[Arm("control", 0.5), Arm("b", 0.3), Arm("c", 0.2)], coverage=0.8)


def arms(definition: Definition) -> list[str]:
    assignments = Assignments([(4, definition)])
    return [assignments.assign(user).arm for user in range(500)]


def test_where_an_arm_is_closed_nobody_else_moves() -> None:
    before = arms(THREE)
    closed = close_arm({"ranking": (4, THREE)}, "ranking", "b", "skips", 99)
    assert decode_definition(encode_definition(closed)) == closed
    assert {"control", "b", "c", "default"} == set(before)
    assert arms(closed) == ["default" if arm == "b" else arm for arm in before]
    wider = ramp({"ranking": (5, closed)}, "ranking", 1.0, 100)
    assert "b" not in arms(wider)
    kept = zip(arms(closed), arms(wider), strict=True)
    assert all(then in ("default", now) for then, now in kept)


def test_the_shares_that_exposures_name_are_those_of_the_open_arms() -> None:
    closed = close_arm({"ranking": (4, THREE)}, "ranking", "b", "skips", 99)
    assignments = Assignments([(4, closed)])
    shares = {}
    for user in range(500):
        found = assignments.assign(user)
        shares[found.arm] = found.probability
    assert shares["control"] == pytest.approx(0.5 / 0.7)
    assert shares["c"] == pytest.approx(0.2 / 0.7)


def test_an_arm_that_was_opened_again_is_as_before_and_says_so() -> None:
    closed = close_arm({"ranking": (4, THREE)}, "ranking", "b", "x" * 500, 99)
    assert len(closed.arms[1].why) == 200
    opened = reopen_arm({"ranking": (5, closed)}, "ranking", "b", 120)
    assert arms(opened) == arms(THREE)
    assert (opened.arms[1].closed, opened.arms[1].reopened) == (None, 120)


def test_what_cannot_be_closed_or_opened_is_said_in_one_line() -> None:
    known = {"ranking": (4, THREE)}
    with pytest.raises(ExperimentRefused, match="control is the control of ranking"):
        close_arm(known, "ranking", "control", "", 1)
    with pytest.raises(ExperimentRefused, match="has no arm 'd'; its arms are control, b, c"):
        close_arm(known, "ranking", "d", "", 1)
    with pytest.raises(ExperimentRefused, match="arm b of ranking is open"):
        reopen_arm(known, "ranking", "b", 1)
    closed = close_arm(known, "ranking", "b", "", 1)
    with pytest.raises(ExperimentRefused, match="closed already"):
        close_arm({"ranking": (5, closed)}, "ranking", "b", "", 2)
