"""Requests that come at the same moment and need pasts read anew share one run of the network."""

from __future__ import annotations

import asyncio
import contextlib

from contracts.event import UserId
from model.together import AT_ONCE
from serving.replica import Replica


class Together:
    """Used by one event loop. Whoever finds their past read already does not wait."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._users: list[UserId] = []
        self._run: asyncio.Future[None] | None = None

    async def past_of(self, user: UserId) -> None:
        """Return once the user's past has been read with others, or is not to be waited for.

        Those who come in one turn of the loop go together. One alone is left to the answer itself,
        as is everyone where reading fails.
        """
        if not self._replica.is_new(user):
            return
        if self._run is None or len(self._users) == AT_ONCE:
            self._users, self._run = [], asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(self._read, self._users, self._run)
        self._users.append(user)
        await self._run

    def _read(self, users: list[UserId], run: asyncio.Future[None]) -> None:
        if run is self._run:
            self._run = None
        if len(users) > 1:
            # Whatever is wrong comes up again in each answer, and is said there.
            with contextlib.suppress(Exception):
                self._replica.read_together(users)
        run.set_result(None)
