"""Which changes of experiments may be written, and how the others are refused."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from everfresh.adapters.assigners.in_memory import MemoryDefinitionLog
from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.experiments.definition import Arm, Definition, Namespace
from everfresh.experiments.lifecycle import Known, close_arm, ramp, sharing, start, stop
from everfresh.experiments.publishing import publish
from tests.contracts.experiments.definitions import define


def known(*definitions: Definition) -> Known:
    return {each.name: (version, each) for version, each in enumerate(definitions, start=10)}


def page(begin: float, end: float) -> Namespace:
    return Namespace("page", begin, end)


STOPPED = define("old", stopped=9)
BOTH = define("both", interleaved=True, arms=[Arm("a", 0.5), Arm("b", 0.5, "fast")])
HALF = define("half", namespace=page(0.0, 0.5))
SOME = define("some", coverage=0.2)

REFUSED: list[tuple[Callable[[Known], Definition], str]] = [
    (lambda all_: start(all_, define("some")), "some runs already; widen it with .* ramp"),
    (lambda all_: start(all_, define("old")), "old was stopped, and its outcomes keep its name"),
    (lambda all_: start(all_, define("x y")), "the name of an experiment"),
    (
        lambda all_: start(all_, define("new", arms=[Arm("a", 0.5), Arm("b", 0.5, "slow")])),
        "no such track; the tracks are: default",
    ),
    (
        lambda all_: start(all_, define("new", namespace=page(0.4, 0.6))),
        "half has 0 to 0.5 of namespace page, which overlaps 0.4 to 0.6; take a part",
    ),
    (lambda all_: ramp(all_, "some", 0.2, 1), "some has coverage 0.2; a ramp raises it.*0.2 was"),
    (lambda all_: ramp(all_, "some", 0.1, 1), "0.1 was asked for. To have fewer users in, stop"),
    (lambda all_: ramp(all_, "some", 1.1, 1), "to 1 at most"),
    (lambda all_: ramp(all_, "old", 1.0, 1), "old was stopped, and does not start again"),
    (lambda all_: ramp(all_, "som", 1.0, 1), "no experiment 'som'; did you mean some"),
    (lambda all_: stop(all_, "old", 1), "old was stopped"),
    (lambda all_: close_arm(all_, "both", "b", "why", 1), "both is interleaved.*experiment stop"),
    (lambda all_: stop(all_, "\x1b", 1), r"no experiment '\\x1b'; .everfresh experiment list"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_a_change_that_cannot_be_is_refused_in_one_line_and_nothing_is_written(
    change: Callable[[Known], Definition], message: str
) -> None:
    log = MemoryDefinitionLog()
    for each in (STOPPED, HALF, SOME, BOTH):
        log.write(each.name, each)
    with pytest.raises(ExperimentRefused, match=message) as refused:
        publish(log, change)
    assert "\n" not in str(refused.value)
    assert len(log.records) == 4


def test_an_experiment_starts_is_ramped_and_stops_and_keeps_its_first_version() -> None:
    log = MemoryDefinitionLog()
    log.write("other", define("other"))
    first = publish(log, lambda all_: start(all_, define("green", coverage=0.1)))
    assert first == (1, define("green", coverage=0.1))
    second = publish(log, lambda all_: ramp(all_, "green", 0.5, 77))
    assert second == (2, define("green", coverage=0.5, since=1, changed=77))
    third = publish(log, lambda all_: ramp(all_, "green", 1.0, 78))
    assert third == (3, define("green", coverage=1.0, since=1, changed=78))
    last = publish(log, lambda all_: stop(all_, "green", 79))
    assert last == (4, define("green", coverage=1.0, since=1, changed=79, stopped=79))


def test_parts_of_a_namespace_that_touch_do_not_overlap() -> None:
    assert start(known(HALF), define("new", namespace=page(0.5, 1.0))).name == "new"
    free = known(msgspec.structs.replace(HALF, stopped=9))
    assert start(free, define("new", namespace=page(0.0, 0.5))).name == "new"
    holdout = define("out", namespace=page(0.0, 0.1), holdout=True, arms=[Arm("out", 1.0)])
    assert start(known(HALF), holdout) == holdout


def test_experiments_that_can_share_users_are_named() -> None:
    all_ = known(STOPPED, HALF, SOME, define("out", holdout=True, arms=[Arm("out", 1.0)]))
    assert sharing(all_, define("new")) == ["half", "some"]
    assert sharing(all_, define("new", namespace=page(0.5, 1.0))) == ["some"]
    assert sharing(all_, define("new", namespace=Namespace("else", 0.0, 1.0))) == ["half", "some"]


def test_a_change_that_met_another_one_is_taken_back() -> None:
    log = MemoryDefinitionLog()
    log.write("some", SOME)

    def meanwhile() -> None:
        log.on_write = lambda: None
        log.write("half", HALF)

    log.on_write = meanwhile
    rival = define("rival", namespace=page(0.4, 0.6))
    with pytest.raises(ExperimentRefused, match="somebody else changed an experiment at the same"):
        publish(log, lambda all_: start(all_, rival))
    assert [each for _, each in log.read()[1].values()] == [SOME, HALF]


def test_of_two_who_start_one_name_at_the_same_moment_the_first_stays() -> None:
    log = MemoryDefinitionLog()
    first, second = define("green", coverage=0.5), define("green", coverage=0.9)

    def meanwhile() -> None:
        log.on_write = lambda: None
        log.write("green", first)

    log.on_write = meanwhile
    with pytest.raises(ExperimentRefused, match="taken back"):
        publish(log, lambda all_: start(all_, second))
    assert [each for _, each in log.read()[1].values()] == [first]
