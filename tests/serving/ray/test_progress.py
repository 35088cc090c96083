"""What is said while Ray Serve starts replicas."""

from __future__ import annotations

import queue
from types import SimpleNamespace
from typing import Any

import pytest

from everfresh.serving.ray import progress
from everfresh.serving.ray.progress import describe, telling


def status(states: dict[str, int], message: str) -> Any:
    """As ``serve.status()`` returns it, where states are text, whatever Ray's types declare."""
    replicas = SimpleNamespace(replica_states=states, message=message)
    application = SimpleNamespace(message="", deployments={"Replica": replicas})
    return SimpleNamespace(applications={"everfresh": application})


def test_replicas_are_counted_by_what_they_do_and_serves_words_are_passed_on() -> None:
    waiting = status({"RUNNING": 1, "STARTING": 2}, "2 replicas wait\n for a node")
    assert describe(waiting, "everfresh") == (
        "Ray Serve's replicas: 1 running, 2 starting; Serve says: 2 replicas wait for a node"
    )


def test_before_the_application_is_there_the_controller_is_what_starts() -> None:
    nothing: Any = SimpleNamespace(applications={})
    assert describe(nothing, "everfresh") == "Ray Serve's controller starts"
    assert describe(status({}, ""), "everfresh") == "Ray Serve's replicas: none yet"
    assert describe(status({}, ""), "another") == "Ray Serve's controller starts"


def test_it_is_told_again_and_again_until_the_door_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.01)
    answers = iter([RuntimeError("Serve is not there yet"), status({}, ""), status({}, "late")])
    said: queue.Queue[str] = queue.Queue()

    def ask() -> Any:
        answer = next(answers, status({"RUNNING": 1}, ""))
        if isinstance(answer, Exception):
            raise answer
        return answer

    with telling("everfresh", ask, said.put):
        assert said.get(timeout=240) == "Ray Serve's replicas: none yet"
        assert said.get(timeout=240) == "Ray Serve's replicas: none yet; Serve says: late"
        assert said.get(timeout=240) == "Ray Serve's replicas: 1 running"
