"""Back-pressure, time limits and the administrators' token."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from everfresh.adapters.memory import ManualClock
from everfresh.contracts.settings import ServingSettings
from everfresh.serving.requests.admission import Admission
from everfresh.serving.requests.problems import Problem
from tests.serving.http_client import TOKEN, Client, assert_problem
from tests.serving.replica_in_memory import Bench

SCOPE = {"type": "http", "method": "POST", "path": "/v1/recommend", "headers": []}


class Slow:
    """A request over ASGI whose body comes when it is told to."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._body: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.said: list[MutableMapping[str, Any]] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.said.append(message)

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._client.app(dict(SCOPE), self._body.get, self.send))

    def finish(self) -> None:
        self._body.put_nowait({"type": "http.request", "body": b'{"user_id": 1}'})

    @property
    def status(self) -> int:
        return int(self.said[0]["status"])


def test_what_comes_on_top_of_the_limit_is_refused_at_once_and_told_when_to_come_again(
    bench: Bench,
) -> None:
    client = Client(bench, ServingSettings(max_ongoing=2))

    async def together() -> list[Slow]:
        asked = [Slow(client) for _ in range(3)]
        tasks = [slow.start() for slow in asked]
        await tasks[2]
        for slow in asked[:2]:
            assert slow.said == []
            slow.finish()
        await asyncio.gather(*tasks)
        return asked

    asked = asyncio.run(together())
    assert [slow.status for slow in asked] == [200, 200, 503]
    assert dict(asked[2].said[0]["headers"])[b"retry-after"] == b"1"
    assert b"overloaded" in asked[2].said[1]["body"]
    assert client.admission.refused == 1
    assert client.post("/v1/recommend", json={"user_id": 1}).status_code == 200


def test_a_body_that_does_not_come_ends_the_request(bench: Bench) -> None:
    client = Client(bench, ServingSettings(timeout_ms=20))

    async def alone() -> Slow:
        slow = Slow(client)
        await slow.start()
        return slow

    assert asyncio.run(alone()).status == 408


def test_a_request_whose_turn_comes_too_late_is_not_worked_on(bench: Bench) -> None:
    client = Client(bench, ServingSettings(timeout_ms=500))

    async def late() -> Slow:
        slow = Slow(client)
        task = slow.start()
        await asyncio.sleep(0)
        bench.clock.advance(501)
        slow.finish()
        await task
        return slow

    slow = asyncio.run(late())
    assert slow.status == 503
    assert b"timed-out" in slow.said[1]["body"]
    assert bench.exposures.exposures == []


def test_a_request_that_fails_gives_its_slot_back() -> None:
    admission = Admission(1, 100, ManualClock())
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), admission.slot():
            raise ZeroDivisionError
    with admission.slot(), pytest.raises(Problem), admission.slot():
        pass
    assert admission.refused == 1


@pytest.mark.parametrize(
    "given", ["", "Bearer ", "Bearer let-me-i", f"Basic {TOKEN}", TOKEN, "Bearer é"]
)
def test_without_the_token_administrators_addresses_stay_closed(client: Client, given: str) -> None:
    header = {"authorization": given.encode()} if given else {}
    response = client.get("/v1/admin/status", headers=header)
    assert_problem(response, 401, "not-admitted")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_the_case_of_the_scheme_before_a_token_does_not_matter(client: Client, scheme: str) -> None:
    header = {"authorization": f"{scheme}{TOKEN}"}
    assert client.get("/v1/admin/status", headers=header).status_code == 200


def test_with_the_token_a_replica_tells_what_it_has_done(client: Client) -> None:
    for _ in range(2):
        client.post("/v1/recommend", json={"user_id": 1})
    said = client.get("/v1/admin/status", headers={"authorization": f"Bearer {TOKEN}"}).json()
    assert said["component"] == "replica-a"
    assert (said["figures"]["version"], said["figures"]["requests"]) == (1, 2)
    cache = [said["figures"][f"cache_{name}"] for name in ("built", "hits", "users")]
    assert cache == [1, 1, 1]


@pytest.mark.parametrize("given", ["Bearer ", "Bearer x"])
def test_where_no_token_is_set_nobody_is_an_administrator(bench: Bench, given: str) -> None:
    client = Client(bench, ServingSettings())
    response = client.get("/v1/admin/status", headers={"authorization": given})
    assert_problem(response, 403, "admin-closed")


def test_a_token_is_shown_nowhere_and_reaches_child_processes() -> None:
    settings = ServingSettings(admin_token=TOKEN)
    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings.admin_token)
    assert settings.model_dump(mode="json")["admin_token"] == TOKEN
