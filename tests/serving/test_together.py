"""Requests at the same moment share one reading of their users' pasts; answers stay the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contracts.errors import StateError
from model.together import AT_ONCE
from serving.past import PastReader
from serving.replica import Doors, Replica
from tests.serving.client import Client
from tests.serving.made import Bench, publish

USERS = AT_ONCE + 4
MANY_BYTES = 64 << 20


class Roomy(Bench):
    """A bench whose cache has room for pasts that are read together."""

    def __init__(self, cache_bytes: int = MANY_BYTES) -> None:
        super().__init__()
        self.pasts = PastReader(self, cache_bytes)
        doors = Doors(self.store, self.pasts, self.exposures, self.reports)
        self.replica = Replica("replica-a", doors, self.clock, poll_ms=10)
        for user in range(USERS):
            self.remember(user, [1 + user, 3, 5 + user])
        publish(self.store, 1)
        self.replica.start()


@pytest.fixture
def bench() -> Iterator[Roomy]:
    made = Roomy()
    yield made
    made.replica.stop()


def ask(bench: Bench, users: list[int], path: str = "/v1/recommend", **body: Any) -> list[Any]:
    """All at the same moment."""
    door = Client(bench).door
    transport = httpx.ASGITransport(door, raise_app_exceptions=False)

    async def together() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as one:
            wanted = [one.post(path, json={"user_id": user, **body}) for user in users]
            return await asyncio.gather(*wanted)

    return asyncio.run(together())


def content(answers: list[Any]) -> list[Any]:
    return [
        (one["user_id"], one["items"], pytest.approx(one["scores"], abs=1e-4)) for one in answers
    ]


def test_pasts_that_are_new_at_the_same_moment_are_read_together(bench: Roomy) -> None:
    answers = [one.json() for one in ask(bench, list(range(USERS)), k=5)]
    assert bench.pasts.figures().together == USERS
    assert bench.pasts.figures().hits == USERS
    alone = [one.json() for user in range(USERS) for one in ask(Roomy(0), [user], k=5)]
    assert [(one["user_id"], one["items"], one["scores"]) for one in answers] == content(alone)
    assert {one["source"] for one in answers} == {"model"}


def test_who_comes_alone_or_is_known_waits_for_nobody(bench: Roomy) -> None:
    ask(bench, [1], k=5)
    figures = bench.pasts.figures()
    assert (figures.built, figures.together) == (1, 0)
    ask(bench, [1, 1, 1], k=5)
    ask(bench, [1, 2], "/v1/score", items=[1, 2])
    assert bench.pasts.figures().together == 0


def test_users_without_a_state_and_repeated_ones_are_answered_as_ever(bench: Roomy) -> None:
    answers = [one.json() for one in ask(bench, [3, 700, 3, 4], k=5)]
    assert [one["source"] for one in answers] == ["model", "popular", "model", "model"]
    assert answers[0]["items"] == answers[2]["items"]


def test_a_version_that_goes_live_in_between_is_answered_with(bench: Roomy) -> None:
    def swap() -> None:
        bench.on_read = lambda: None
        publish(bench.store, 2)
        bench.replica._follower.step()

    bench.on_read = swap
    answers = [one.json() for one in ask(bench, [1, 2, 3], k=5)]
    assert {one["version"] for one in answers} == {2}
    assert {one["past_version"] for one in answers} == {None}


def test_a_state_that_cannot_be_read_is_said_to_each(bench: Roomy) -> None:
    def fail() -> None:
        raise StateError("the disk is gone")

    bench.on_read = fail
    assert [one.status_code for one in ask(bench, [1, 2, 3], k=5)] == [503, 503, 503]


@pytest.mark.parametrize("size", [0, 1 << 20])
def test_without_room_to_keep_them_nothing_is_read_twice(size: int) -> None:
    made = Roomy(size)
    ask(made, [1, 2, 3], k=5)
    figures = made.pasts.figures()
    made.replica.stop()
    assert (figures.built, figures.together) == (3, 0)
