"""What a replica does with the definitions while they change, and while they cannot be read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest

from everfresh.adapters.kafka.definitions import following
from everfresh.adapters.kafka.definitions.following import DefinitionFollower
from everfresh.contracts.errors import Unreachable
from everfresh.experiments.lifecycle import close_arm, stop
from tests.adapters.kafka.definitions.scripted import Script
from tests.contracts.experiments.definitions import define

GREEN, BLUE = define("green"), define("blue")


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def follower(script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[DefinitionFollower]:
    monkeypatch.setattr(following, "_AGAIN_S", 0.01)
    script.write("green", GREEN)
    made = DefinitionFollower(script.open)
    yield made
    made.close()
    wait_for(lambda: script.closed == script.opened)


def wait_for(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 240  # for what never comes
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_what_is_defined_before_the_start_counts_from_the_first_request(
    follower: DefinitionFollower,
) -> None:
    assert follower.assign(7, None).experiment == "green"
    assert follower.figures() == {
        "experiments": 1,
        "experiments_closed": 0,
        "experiments_closed_arms": "",
        "experiments_read": 1,
        "experiments_left_out": 0,
        "experiments_reason": "",
    }


def test_closed_arms_are_told_by_replicas_while_their_experiment_runs(
    follower: DefinitionFollower, script: Script
) -> None:
    known = {"green": (0, GREEN)}
    closed = close_arm(known, "green", "treatment", "skips are 30% worse", 9)
    script.write("green", closed)
    wait_for(lambda: follower.figures()["experiments_closed"] == 1)
    assert follower.figures()["experiments_closed_arms"] == "treatment of green"
    script.write("green", stop({"green": (1, closed)}, "green", 10))
    wait_for(lambda: follower.figures()["experiments_closed"] == 0)
    assert follower.figures()["experiments_closed_arms"] == ""


def test_a_definition_that_is_taken_away_while_it_runs_ends_the_experiment(
    follower: DefinitionFollower, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    script.write("green", None)
    wait_for(lambda: follower.assign(7, None).experiment is None)
    assert follower.assign(7, None).arm == "default"
    wait_for(lambda: "running experiments: none" in caplog.text)


def test_an_experiment_that_is_stopped_leaves_its_users_to_the_next_one(
    follower: DefinitionFollower, script: Script
) -> None:
    script.write("blue", BLUE)
    wait_for(lambda: follower.figures()["experiments"] == 2)
    assert follower.assign(7, None).experiment == "green"
    script.write("green", define("green", since=0, stopped=9))
    wait_for(lambda: follower.assign(7, None).experiment == "blue")


def test_while_the_topic_cannot_be_read_the_definitions_that_are_known_stay(
    follower: DefinitionFollower, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script.broken = Unreachable("the topic is gone")
    wait_for(lambda: script.opened > 3)
    assert follower.assign(7, None).experiment == "green"
    assert follower.figures()["experiments_reason"] == "the topic is gone"
    # Said once, however often it is tried.
    assert caplog.text.count("those known stay: the topic is gone") == 1
    script.records = [("blue", BLUE)]
    script.broken = None
    wait_for(lambda: follower.assign(7, None).experiment == "blue")
    wait_for(lambda: follower.figures()["experiments_reason"] == "")


def test_a_replica_does_not_start_without_the_topic(script: Script) -> None:
    script.broken = Unreachable("no such topic")
    with pytest.raises(Unreachable, match="no such topic"):
        DefinitionFollower(script.open)
    assert script.closed == 1
