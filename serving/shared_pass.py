"""Requests that come together share their pass over the item table.

An answer that ranks all items is made in steps: it stops where it needs the products of its user
with the table, and goes on with them. Whoever drives the steps may make the products of several
answers at once, while each block of the table is in the processor's cache (decision 15).
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

from everfresh.model.inference.products import products
from everfresh.model.inference.retrieval import Scores, UserVector
from everfresh.model.recommender import Recommender

_Made = TypeVar("_Made")
Asked = tuple[Recommender, UserVector]
"""Whose table, and for which user."""
Steps = Generator[Asked, Scores, _Made]
"""Yields what it asks for, is sent the products ``(rows,)``, returns what it makes."""

_MOST = 16
"""Answers that share a pass: each holds its products, of megabytes for millions of items."""


def alone(steps: Steps[_Made]) -> _Made:
    """What the steps make, at once."""
    try:
        recommender, user = next(steps)
        while True:
            (product,) = products(recommender.catalogue().arrays[0], [user])
            recommender, user = steps.send(product)
    except StopIteration as ended:
        made: _Made = ended.value
        return made


class SharedPass:
    """For the requests of one event loop: those that ask in one turn of it are served together."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Asked, asyncio.Future[Scores]]] = []

    async def made(self, steps: Steps[_Made]) -> _Made:
        """What the steps make; raises what they raise."""
        try:
            asked = next(steps)
            while True:
                asked = steps.send(await self._product(asked))
        except StopIteration as ended:
            made: _Made = ended.value
            return made

    def _product(self, asked: Asked) -> asyncio.Future[Scores]:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._pass)
        product = loop.create_future()
        self._waiting.append((asked, product))
        return product

    def _pass(self) -> None:
        """For the first of those that wait; the next ones after these have their answers."""
        together, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._pass)
        tables: dict[int, list[tuple[Asked, asyncio.Future[Scores]]]] = {}
        for each in together:
            # A client that has left may have cancelled its request.
            if not each[1].done():
                tables.setdefault(id(each[0][0]), []).append(each)
        for of_table in tables.values():
            (recommender, _), _ = of_table[0]
            try:
                made = products(
                    recommender.catalogue().arrays[0], [user for (_, user), _ in of_table]
                )
            except Exception as error:
                for _, product in of_table:
                    product.set_exception(error)
            else:
                for (_, product), scores in zip(of_table, made, strict=True):
                    product.set_result(scores)
