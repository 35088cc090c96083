"""What a driver hears of a process: nothing yet, that Ray starts it again, or that it will not."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ActorUnschedulableError,
    RayActorError,
    RayError,
    RaySystemError,
    RayTaskError,
    RuntimeEnvSetupError,
)

from everfresh.trainer import actor_hold
from everfresh.trainer.actor_hold import ActorHold
from everfresh.trainer.run import RunStatus
from everfresh.trainer.scoring.reporting import Figures

RUNNING = RunStatus("running", None, Figures())
RAISED = "The actor died because of an error raised in its creation task, ray::Trainer.__init__()\n"
TRACE = f"{RAISED}  File \"logs.py\", line 7\nPermissionError: [Errno 13] denied: '/home/logs'\n"


def of_constructor() -> RayActorError:
    return RayActorError("a1", TRACE, actor_init_failed=True)


class FakeRay:
    """Answers each question with what comes next; None for no answer within the time."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def wait(self, questions: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return ([], questions) if self._answers[0] is None else (questions, [])

    def get(self, question: Any) -> Any:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def hold(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> ActorHold:
    monkeypatch.setattr(actor_hold, "ray", FakeRay(*answers))
    actor = SimpleNamespace(status=SimpleNamespace(remote=object))
    return ActorHold(actor, "the process of track fast")


def test_one_that_was_lost_is_said_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost = (ActorDiedError(), ActorUnavailableError("restarting", None))
    held = hold(monkeypatch, RUNNING, *lost, RUNNING, *lost, None)
    assert [held.ask(0.0) for _ in range(7)] == [RUNNING, None, None, RUNNING, None, None, None]
    assert held.restarts == 2
    said = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (of_constructor(), "PermissionError: [Errno 13] denied: '/home/logs'"),
        (ActorUnschedulableError("node a1\n is gone"), "node a1 is gone"),
        (RuntimeEnvSetupError("no such\n package"), "no such package"),
    ],
)
def test_one_that_ray_will_not_start_again_has_failed_with_its_cause_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: RayError, cause: str
) -> None:
    status = hold(monkeypatch, error).ask(0.0)
    assert status is not None
    assert status.state == "failed"
    assert status.error is not None
    assert status.error.startswith("the process of track fast cannot be started: ")
    assert cause in status.error
    assert "\n" not in status.error


def raised() -> RayTaskError:
    trace = "Traceback (most recent call last):\n  File \"run.py\", line 7\nKeyError: 'scores'\n"
    return RayTaskError("status", trace, KeyError("scores"), "ray::Trainer", 1, "127.0.0.1")


@pytest.mark.parametrize(
    ("error", "cause"),
    [(raised(), "KeyError: 'scores'"), (RaySystemError("a disk\nis full"), "is full")],
)
def test_one_that_answers_with_an_error_has_failed_only_when_it_does_so_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: RayError,
    cause: str,
) -> None:
    held = hold(monkeypatch, error, error, RUNNING, error, error, error)
    assert [held.ask(0.0) for _ in range(5)] == [None, None, RUNNING, None, None]
    line = f"the process of track fast does not answer: {cause}"
    assert {record.message for record in caplog.records} == {f"{line}; it is asked again"}
    status = held.ask(0.0)
    assert status is not None
    assert (status.state, status.error) == ("failed", line)
    assert held.restarts == 0
