"""A driver's hold on one training process: ask how it stands, and end it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import (
    ActorUnschedulableError,
    RayActorError,
    RayError,
    RuntimeEnvSetupError,
)

from everfresh.trainer.run import RunStatus
from everfresh.trainer.scoring.reporting import Figures

_LONGEST_CAUSE = 500
_MOST_WRONG = 3
"""So many errors in a row, in place of an answer, are no accident."""
_UNSTARTED = (ActorUnschedulableError, RuntimeEnvSetupError)
_LOG = logging.getLogger("everfresh.trainer")


class ActorHold:
    """``name`` is the process in words, for the log. ``restarts`` counts how often Ray had to start
    it again."""

    def __init__(self, actor: Any, name: str) -> None:
        self.actor = actor
        self.name = name
        self.restarts = 0
        self._lost = False
        self._wrong = 0
        self._question: Any = None

    def ask(self, wait_s: float) -> RunStatus | None:
        """How it stands; ``None`` while Ray starts it, or where it does not answer within the
        time. Where Ray will not start it again, or three answers in a row were errors, it has
        failed, with the cause."""
        # One question at a time, asked again only once answered: a busy actor is not flooded.
        question = self._question or self.actor.status.remote()
        answered, _ = ray.wait([question], timeout=wait_s)
        self._question = None if answered else question
        if not answered:
            return None
        try:
            status: RunStatus = ray.get(question)
        except RayError as error:
            return self._met(error)
        self._lost, self._wrong = False, 0
        return status

    def _met(self, error: RayError) -> RunStatus | None:
        died = error if isinstance(error, RayActorError) else None
        if isinstance(error, _UNSTARTED) or (died and died.actor_init_failed):
            return _failed(f"{self.name} cannot be started: {_cause(error)}; mend that")
        if died:
            if not self._lost:
                self._lost, self.restarts = True, self.restarts + 1
                _LOG.warning("%s was lost (%s); Ray starts it again", self.name, error)
            return None
        self._wrong += 1
        line = f"{self.name} does not answer: {_cause(error)}"
        if self._wrong >= _MOST_WRONG:
            return _failed(line)
        _LOG.warning("%s; it is asked again", line)
        return None


def _failed(line: str) -> RunStatus:
    return RunStatus("failed", line, Figures())


def _cause(error: RayError) -> str:
    """One line of an error that Ray tells with all that led to it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    # What was raised ends its traceback; why Ray cannot start a process is told in several lines.
    told = " ".join(lines) if isinstance(error, _UNSTARTED) else lines[-1]
    return told[:_LONGEST_CAUSE]


def end_all(holds: Sequence[ActorHold], wait_s: float) -> list[RunStatus | None]:
    """End them together, by asking and then by force; the last word of each that gave one."""
    asked = [hold.actor.stop.remote(wait_s) for hold in holds]
    if asked:
        ray.wait(asked, num_returns=len(asked), timeout=wait_s + 0.5)
    said: list[RunStatus | None] = []
    for hold, answer in zip(holds, asked, strict=True):
        last = None
        with contextlib.suppress(RayError):
            last = ray.get(answer, timeout=0)
        said.append(last)
        with contextlib.suppress(RayError):
            ray.kill(hold.actor, no_restart=True)
    return said
