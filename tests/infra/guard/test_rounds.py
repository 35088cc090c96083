"""The guard's rounds over experiments that have a guardrail."""

from __future__ import annotations

import logging

import msgspec
import pytest

from everfresh.contracts.errors import Unreachable
from everfresh.contracts.experiments.definition import Arm, Definition
from everfresh.contracts.experiments.metric import Metric, parse_metric
from everfresh.experiments.lifecycle import Known, close_arm, reopen_arm, stop
from everfresh.infra.guard.looking import guarded
from everfresh.infra.guard.rounds import GuardRounds
from tests.contracts.experiments.definitions import define

SKIPS = [
    parse_metric("clicks: answers with click"),
    parse_metric("skips: answers with skip, less is better, at most 20% worse"),
]


def known_as(*definitions: Definition) -> dict[str, tuple[int, Definition]]:
    return {each.name: (at, each) for at, each in enumerate(definitions)}


def rounds_over(
    known: Known, failing: dict[str, Exception], seen: list[str], metrics: list[Metric] = SKIPS
) -> GuardRounds:
    def look(name: str) -> list[str]:
        seen.append(name)
        if name in failing:
            raise failing[name]
        return [f"{name} is well"]

    return GuardRounds(lambda: known, look, metrics)


def test_every_experiment_with_a_guardrail_is_looked_at_and_no_other() -> None:
    runs = define("runs")
    interleaved = define(
        "both", arms=[Arm("a", 0.5), Arm("b", 0.5, "fast")], interleaved=True, coverage=0.5
    )
    ended = stop(known_as(define("ended")), "ended", 9)
    arm = runs.arms[1].name
    closed = close_arm(known_as(define("closed")), "closed", arm, "skips", 9)
    opened = reopen_arm(known_as(msgspec.structs.replace(closed, name="opened")), "opened", arm, 10)
    held_out = define("holdout", arms=[Arm("holdout", 1.0)], holdout=True, coverage=0.1)
    known = known_as(runs, interleaved, ended, closed, opened, held_out)
    seen: list[str] = []
    rounds = rounds_over(known, {}, seen)
    rounds.round()
    assert seen == ["runs"] == rounds.guarded
    assert guarded(known, SKIPS[:1]) == []
    assert rounds.status(1, "running").figures == {
        "guarded": 1,
        "looks": 1,
        "waiting": 0,
        "reason": "",
    }


def test_of_several_arms_one_that_is_open_is_enough() -> None:
    three = define("three", arms=[Arm("a", 0.4), Arm("b", 0.3), Arm("c", 0.3)])
    closed = close_arm(known_as(three), "three", "b", "skips", 9)
    assert guarded(known_as(closed), SKIPS) == ["three"]
    both = close_arm(known_as(closed), "three", "c", "skips", 9)
    assert guarded(known_as(both), SKIPS) == []


def test_what_one_look_meets_keeps_no_other_from_being_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []
    failing: dict[str, Exception] = {
        "a": Unreachable("user 'up' has no right to Write on topic experiments"),
        "b": ZeroDivisionError("of a bug"),
    }
    rounds = rounds_over(known_as(define("a"), define("b"), define("c")), failing, seen)
    with caplog.at_level(logging.INFO, "everfresh.guard"):
        rounds.round()
        rounds.round()
    assert seen == ["a", "b", "c"] * 2
    assert rounds.reason == (
        "a: user 'up' has no right to Write on topic experiments; "
        "b: unexpected ZeroDivisionError: of a bug"
    )
    assert rounds.status(1, "running").figures["waiting"] == 1
    # Once each, not at each round.
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "INFO"]
    assert caplog.records[2].message == "c: c is well"
    failing.clear()
    rounds.round()
    assert rounds.reason == ""


def test_while_definitions_cannot_be_read_the_guard_says_so_and_tries_again() -> None:
    broken: list[Exception] = [Unreachable("no broker answers")]

    def known() -> Known:
        if broken:
            raise broken[0]
        return known_as(define("a"))

    rounds = GuardRounds(known, lambda name: [], SKIPS)
    rounds.round()
    assert (rounds.reason, rounds.looks) == ("no broker answers", 0)
    broken.clear()
    rounds.round()
    assert (rounds.reason, rounds.looks) == ("", 1)
