"""One suite for every ``Assigner``: by definitions, by the request, by a feature-flag system."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from everfresh.adapters.assigners.in_memory import MemoryAssigner
from everfresh.adapters.assigners.named import NamedArms
from everfresh.adapters.assigners.openfeature import OpenFeatureAssigner
from everfresh.adapters.kafka.definitions.following import DefinitionFollower
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment, Assignments
from everfresh.contracts.ports import Assigner
from tests.adapters.kafka.definitions.scripted import Script
from tests.contracts.experiments.definitions import define

ARMS = ("control", "treatment")
LONG_MS = 240_000  # a deadline that a busy machine keeps
GREEN = Assignments([(0, define("green"))])
IN = [user for user in range(400) if GREEN.assign(user).arm == "treatment"]
"""Users whom every assigner here puts into the arm ``treatment``."""


def by_group(_: object, context: object) -> FlagResolutionDetails[str]:
    arm = GREEN.assign(str(getattr(context, "targeting_key", ""))).arm
    return FlagResolutionDetails(arm, reason=Reason.SPLIT, variant=arm)


@pytest.fixture(params=["memory", "definitions", "request", "openfeature"])
def assigner(request: pytest.FixtureRequest) -> Iterator[Assigner]:
    if request.param == "memory":
        memory = MemoryAssigner()
        memory.assignments = GREEN
        yield memory
    elif request.param == "definitions":
        script = Script()
        script.write("green", define("green"))
        follower = DefinitionFollower(script.open)
        yield follower
        follower.close()
    elif request.param == "request":
        yield NamedArms("green", ARMS)
    else:
        flags = {"green": InMemoryFlag("c", {"c": "control"}, context_evaluator=by_group)}
        asking = OpenFeatureAssigner(InMemoryProvider(flags), "green", ARMS, LONG_MS)
        yield asking
        asking.close()


def test_a_users_arm_is_named_with_its_experiment_and_track(assigner: Assigner) -> None:
    for user in IN[:20]:
        for same in (user, str(user)):
            assignment = assigner.assign(same, "treatment")
            told = (assignment.experiment, assignment.arm, assignment.track)
            assert told == ("green", "treatment", "default")


def test_the_definition_version_is_known_only_where_definitions_decide(assigner: Assigner) -> None:
    assignment = assigner.assign(IN[0], "treatment")
    defined = bool(assigner.definitions())
    assert (assignment.definition_version is not None) == defined
    assert (assignment.probability is not None) == defined


def test_any_thread_may_ask(assigner: Assigner) -> None:
    found: list[Assignment] = []
    threads = [
        threading.Thread(target=lambda: found.append(assigner.assign(IN[0], "treatment")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(each.experiment, each.arm) for each in found} == {("green", "treatment")}


def test_where_somebody_is_asked_an_event_loop_gets_the_same_arm_later(assigner: Assigner) -> None:
    async def ask() -> Assignment | None:
        later = assigner.asking(IN[0], "treatment")
        return None if later is None else await later

    assert asyncio.run(ask()) in {None, assigner.assign(IN[0], "treatment")}


def test_its_figures_can_be_reported(assigner: Assigner) -> None:
    figures = assigner.figures()
    assert all(name.startswith("experiments") for name in figures)
    assert all(isinstance(value, (int, str)) for value in figures.values())


def test_an_arm_that_nobody_knows_is_the_default_arm() -> None:
    assert NamedArms("green", ARMS).assign(1, "purple") == NO_EXPERIMENT
    assert NamedArms("green", ARMS).assign(1, None) == NO_EXPERIMENT


def test_arms_that_another_system_names_have_the_tracks_of_the_settings() -> None:
    named = NamedArms("green", ARMS, {"treatment": "fast"})
    told = {arm: named.assign(1, arm).track for arm in ARMS}
    assert told == {arm: "fast" if arm == "treatment" else "default" for arm in ARMS}
