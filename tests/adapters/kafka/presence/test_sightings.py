"""Who proves to be alive, and who is only said to be: never a false refusal after a kill."""

from __future__ import annotations

from itertools import pairwise

import pytest

from everfresh.adapters.kafka.presence.sightings import APART_MS, Sightings
from everfresh.contracts.report import ComponentStatus

OURS, THEIRS = "host-a:/home#1", "host-b:/home#2"


def status(place: str, state: str = "running", component: str = "trainer") -> ComponentStatus:
    return ComponentStatus(component, component, 1, state, {}, place)


def test_one_that_was_killed_writes_nothing_more_and_is_no_other() -> None:
    seen = Sightings(OURS)
    seen.stood(status(THEIRS))
    assert seen.suspected
    # What it had sent arrives after we began to look, all at once.
    assert [seen.came(status(THEIRS), 10_000) for _ in range(5)] == [None] * 5


def test_one_that_writes_on_is_alive() -> None:
    seen = Sightings(OURS)
    seen.stood(status(THEIRS))
    assert seen.came(status(THEIRS), 10_000) is None
    alive = seen.came(status(THEIRS), 10_000 + APART_MS)
    assert alive == status(THEIRS)
    assert seen.is_older(status(THEIRS))


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_one_that_said_that_it_stopped_is_not_waited_for(when: str) -> None:
    seen = Sightings(OURS)
    seen.stood(status(THEIRS))
    if when == "before":
        seen.stood(status(THEIRS, "stopped"))
    else:
        seen.came(status(THEIRS), 1_000)
        seen.came(status(THEIRS, "stopped"), 9_000)
    assert not seen.suspected


def test_the_same_home_and_other_components_are_no_other_trainer() -> None:
    seen = Sightings(OURS)
    for each in (status(OURS), status(THEIRS, component="worker-0")):
        seen.stood(each)
        assert seen.came(each, 0) is seen.came(each, 10_000) is None
    assert not seen.suspected


def test_a_trainer_of_an_earlier_release_names_no_home_and_is_another() -> None:
    seen = Sightings(OURS)
    seen.stood(status(""))
    assert seen.suspected
    seen.came(status(""), 0)
    assert seen.came(status(""), APART_MS) is not None


@pytest.mark.parametrize(
    "log",
    [
        [OURS, THEIRS, OURS, THEIRS],
        [THEIRS, OURS, THEIRS, OURS],
        [OURS, OURS, THEIRS, THEIRS, OURS],
    ],
)
def test_of_two_that_started_at_once_both_say_that_the_same_one_came_first(log: list[str]) -> None:
    sides = {place: Sightings(place) for place in (OURS, THEIRS)}
    for number, place in enumerate(log):
        for seen in sides.values():
            seen.came(status(place), 1_000 * number)
    first = log[0]
    other = THEIRS if first == OURS else OURS
    assert sides[other].is_older(status(first))
    assert not sides[first].is_older(status(other))


def test_one_that_was_replaced_and_comes_back_makes_the_newcomer_end() -> None:
    """Exactly one of them stays: it was there before, and the newcomer knew of it."""
    newcomer, back = Sightings(THEIRS), Sightings(OURS)
    newcomer.stood(status(OURS))
    log = [OURS, THEIRS, THEIRS, OURS, THEIRS, OURS]
    back.came(status(OURS), 0)
    for number, (_, place) in enumerate(pairwise(log), 1):
        for seen in (newcomer, back):
            seen.came(status(place), 1_000 * number)
    assert newcomer.is_older(status(OURS))
    assert not back.is_older(status(THEIRS))
