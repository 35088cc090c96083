"""An arm that another system has to be asked for: its request waits, the event loop does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.provider.in_memory_provider import InMemoryProvider

from everfresh.adapters.assigners.openfeature import OpenFeatureAssigner
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment
from everfresh.contracts.settings import Settings
from everfresh.serving.http.app import HttpApp
from everfresh.serving.requests.admission import Admission
from everfresh.serving.rpc import recommender_pb2 as pb
from everfresh.serving.rpc.service import RpcService
from tests.serving.replica_in_memory import Bench

LONG_MS = 240_000


class Slow(InMemoryProvider):
    """Waits for ``free``; ``asked`` says that a question has come."""

    def __init__(self) -> None:
        super().__init__({})
        self.asked, self.free = threading.Event(), threading.Event()

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: Any = None
    ) -> FlagResolutionDetails[str]:
        self.asked.set()
        self.free.wait(240)
        return FlagResolutionDetails("treatment")


@pytest.fixture
def slow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    provider = Slow()
    assigner = OpenFeatureAssigner(provider, "green", ("control", "treatment"), LONG_MS)
    monkeypatch.setattr(bench.assigner, "assign", assigner.assign)
    monkeypatch.setattr(bench.assigner, "asking", assigner.asking)
    yield provider
    provider.free.set()
    assigner.close()
    api.shutdown()


def door(bench: Bench) -> HttpApp:
    return HttpApp(bench.replica, Admission(8, 5_000, bench.clock), bench.clock, Settings())


async def ask(app: HttpApp, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": []}
    await app(scope, receive, send)
    return said[0]["status"], said[1]["body"]


def test_while_a_provider_is_asked_other_requests_are_answered(bench: Bench, slow: Slow) -> None:
    app = door(bench)

    async def talk() -> tuple[int, bytes]:
        waiting = [
            asyncio.ensure_future(ask(app, "POST", path, body))
            for path, body in (
                ("/v1/recommend", b'{"user_id": 1}'),
                ("/v1/score", b'{"user_id": 1, "items": [3]}'),
            )
        ]
        await asyncio.to_thread(slow.asked.wait, 60)
        status, _ = await ask(app, "GET", "/healthz")
        assert status == 200
        assert not any(each.done() for each in waiting)
        slow.free.set()
        answers = [await each for each in waiting]
        assert all(b'"arm":"treatment"' in body for _, body in answers)
        return answers[0]

    status, _ = asyncio.run(talk())
    assert status == 200
    assert bench.exposures.exposures[-1].arm == "treatment"


def test_a_call_waits_for_its_arm_as_a_request_does(bench: Bench, slow: Slow) -> None:
    service = RpcService(bench.replica, Admission(8, 5_000, bench.clock), bench.clock, Settings())

    class Said:
        def set_code(self, code: Any) -> None: ...

        def set_details(self, details: str) -> None: ...

    async def talk() -> pb.Answer:
        asked = pb.RecommendRequest(user_id=pb.Id(number=1))
        waiting = asyncio.ensure_future(service.recommend(asked, Said()))
        await asyncio.to_thread(slow.asked.wait, 60)
        assert (await service.version(pb.VersionRequest(), Said())).version == 1
        slow.free.set()
        return await waiting

    assert asyncio.run(talk()).arm == "treatment"


def test_more_questions_than_askers_wait_for_their_turn_and_not_for_ever(
    bench: Bench, slow: Slow
) -> None:
    assigner = OpenFeatureAssigner(slow, "green", ("treatment",), LONG_MS)

    async def many(number: int) -> list[Assignment]:
        waiting = [assigner.asking(user, None) for user in range(number)]
        slow.free.set()
        return list(await asyncio.gather(*waiting))

    assert asyncio.run(many(40)) == [Assignment("green", "treatment")] * 40
    slow.free.clear()
    assigner._deadline_s = 0.001

    async def late() -> list[Assignment]:
        return list(await asyncio.gather(*(assigner.asking(user, None) for user in range(40))))

    while len(assigner._hanging) < 4:
        assert asyncio.run(late()) == [NO_EXPERIMENT] * 40
    assigner._deadline_s = 600
    assert asyncio.run(late()) == [NO_EXPERIMENT] * 40  # four hang, so nobody waits
    slow.free.set()
    assigner.close()
