"""Arms that another system has to be asked for: the answer waits, and its event loop does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from everfresh.contracts.experiments.assignment import Assignment
from everfresh.serving.recommend import RecommendRequest, ScoreRequest
from everfresh.serving.replica import Replica

_Made = TypeVar("_Made")
_Request = TypeVar("_Request", RecommendRequest, ScoreRequest)


class ArmPending(Exception, Generic[_Made]):
    """Ends an attempt to answer: ``finish`` makes the answer once ``arm`` has come."""

    def __init__(self, arm: Awaitable[Assignment], finish: Callable[[Assignment], _Made]) -> None:
        super().__init__()
        self.arm = arm
        self.finish = finish


def with_arm(replica: Replica, request: _Request, make: Callable[[_Request], _Made]) -> _Made:
    """What ``make`` makes; :class:`ArmPending` where somebody has to be asked for the arm first."""
    arm = replica.ask(request)
    if arm is None:
        return make(request)
    raise ArmPending(arm, lambda came: make(msgspec.structs.replace(request, assigned=came)))


async def finished(attempt: Callable[[], _Made]) -> _Made:
    """What the attempt makes, in the end."""
    try:
        return attempt()
    except ArmPending as ended:
        pending = ended  # the slot of the request is held meanwhile
    made: _Made = pending.finish(await pending.arm)
    return made
