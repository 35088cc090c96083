"""Reading one's own writes: a request may name an event that the user's state must hold.

The offset comes from the producer's receipt. Its partition is the user's own, which everyone can
tell from the user id. A request waits beside those that are worked on, so that a state that falls
behind costs others nothing; as many may wait as may be worked on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import StateReach
from everfresh.serving.recommend import RecommendRequest, ScoreRequest
from everfresh.serving.requests import problems
from everfresh.serving.requests.problems import StateBehind

Reach = Callable[[UserId], StateReach | None]
"""How far the state of a user's own partition is here."""

_LOOK_S = 0.005


class OwnWrites:
    """One per interface of a replica; on its event loop. ``most`` requests may wait at a time, each
    for ``wait_ms``."""

    def __init__(self, reach: Reach, wait_ms: int, most: int) -> None:
        self._reach = reach
        self._looks = round(wait_ms / 1000 / _LOOK_S)
        self._wait_ms = wait_ms
        self._most = most
        self._waiting = 0

    def require(self, request: RecommendRequest | ScoreRequest) -> None:
        """:class:`StateBehind` unless the state holds what the request names."""
        offset = request.min_state_offset
        if offset is not None:
            self._require(request.user_id, offset)

    async def wait(self, behind: StateBehind) -> None:
        """Return once the state holds it; :class:`StateBehind` after the bound, or at once where
        too many wait or the state is not here."""
        reached = self._reach(behind.user)
        if self._waiting >= self._most or reached is None or reached.applied is None:
            raise behind
        self._waiting += 1
        try:
            for _ in range(self._looks):
                await asyncio.sleep(_LOOK_S)
                if _holds(self._reach(behind.user), behind.offset):
                    return
        finally:
            self._waiting -= 1
        self._require(behind.user, behind.offset, f" after {self._wait_ms} ms")

    def _require(self, user: UserId, offset: int, when: str = "") -> None:
        reached = self._reach(user)
        if _holds(reached, offset):
            return
        if reached is None:
            found = "no state is on this machine yet"
        elif reached.applied is None:
            found = f"the user's own partition is {reached.partition}, whose state is not here"
        else:
            found = (
                f"the user's own partition is {reached.partition}, whose state holds everything "
                f"before offset {reached.applied}{when}"
            )
        raise problems.StateBehind(user, offset, found)


def _holds(reached: StateReach | None, offset: int) -> bool:
    return reached is not None and reached.applied is not None and reached.applied > offset
