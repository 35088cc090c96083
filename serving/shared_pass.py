"""Requests that come together share their pass over the item table.

An answer that ranks all items is made in steps: it stops where it needs the products of its user
with the table, and goes on with them. Whoever drives the steps may make the products of several
answers at once, while each block of the table is in the processor's cache (decision 68).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Generator
from typing import Protocol, TypeVar

from everfresh.model.inference.products import products
from everfresh.model.inference.retrieval import Scores, UserVector
from everfresh.model.recommender import Recommender

_Made = TypeVar("_Made")
Asked = tuple[Recommender, UserVector]
"""Whose table, and for which user."""
Steps = Generator[Asked, Scores | None, _Made]
"""Yields what it asks for, and returns what it makes. It is sent the products ``(rows,)``, or
``None`` where it is to make them itself."""


class Place(Protocol):
    """Of a request among those under way."""

    async def off(self, coming: Awaitable[Scores], /) -> Scores:
        """What comes; meanwhile another request may have the place."""

    def require_in_time(self) -> None:
        """``Problem`` where the request has waited too long."""


_MOST = 16
"""Answers that share a pass: each holds its products, of megabytes for millions of items."""
_SLOW_S = 0.001
"""Who took longer to come to the pass keeps others waiting long enough, and goes on alone."""


def alone(steps: Steps[_Made]) -> _Made:
    """What the steps make, at once."""
    try:
        next(steps)
        while True:
            steps.send(None)
    except StopIteration as ended:
        made: _Made = ended.value
        return made


class SharedPass:
    """For the requests of one event loop: those that ask in one turn of it are served together."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Asked, asyncio.Future[Scores]]] = deque()

    async def made(self, steps: Steps[_Made], place: Place) -> _Made:
        """What the steps make; raises what they raise, and ``Problem`` 503 where the request has
        waited too long for its pass. Meanwhile another may have its ``place``."""
        began, again = time.perf_counter(), False
        try:
            asked = next(steps)
            while True:
                product = None
                if time.perf_counter() - began <= _SLOW_S:
                    try:
                        product = await place.off(self._shared(asked, again))
                    except Exception as error:
                        asked = steps.throw(error)
                        continue
                    place.require_in_time()
                asked = steps.send(product)
                began, again = time.perf_counter(), True
        except StopIteration as ended:
            made: _Made = ended.value
            return made

    def _shared(self, asked: Asked, again: bool) -> asyncio.Future[Scores]:
        """Who asks ``again`` holds products already, and is the next."""
        loop = asyncio.get_running_loop()
        if self._waiting and self._waiting[0][1].get_loop() is not loop:
            self._waiting.clear()  # that loop has ended, and they with it
        if not self._waiting:
            loop.call_soon(self._pass)
        product = loop.create_future()
        (self._waiting.appendleft if again else self._waiting.append)((asked, product))
        return product

    def _pass(self) -> None:
        """For the first of those that wait; the others after these have gone on."""
        together = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
        tables: dict[int, list[tuple[Asked, asyncio.Future[Scores]]]] = {}
        for each in together:
            # A client that has left may have cancelled its request.
            if not each[1].done():
                tables.setdefault(id(each[0][0]), []).append(each)
        for of_table in tables.values():
            (recommender, _), _ = of_table[0]
            users = [user for (_, user), _ in of_table]
            try:
                made = products(recommender.catalogue().arrays[0], users)
            except Exception as error:
                for _, product in of_table:
                    product.set_exception(error)
            else:
                for (_, product), scores in zip(of_table, made, strict=True):
                    product.set_result(scores)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._pass)
