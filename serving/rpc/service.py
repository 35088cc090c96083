"""The gRPC door of one replica: messages to requests, answers to messages, problems to statuses.

Checks, admission and replica are those of the HTTP door. Ray is not named here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from everfresh.contracts.ports import Clock
from everfresh.contracts.settings import Settings
from everfresh.serving.metrics import Measure, nobody
from everfresh.serving.replica import Replica
from everfresh.serving.requests import bodies, problems
from everfresh.serving.requests.admission import Admission, Slot
from everfresh.serving.requests.bodies import Limits, RecommendBody, ScoreBody, SimilarBody
from everfresh.serving.requests.own_writes import OwnWrites
from everfresh.serving.rpc import recommender_pb2 as pb
from everfresh.serving.rpc.answers import answer_message, scored_messages
from everfresh.serving.rpc.fields import recommend_fields, score_fields, similar_fields
from everfresh.serving.rpc.registration import Unreadable
from everfresh.serving.shared_pass import SharedPass

if TYPE_CHECKING:
    from everfresh.serving.spans import ReplicaSpans

_Message = TypeVar("_Message", bound=Message)
_CODES = {
    HTTPStatus.UNPROCESSABLE_ENTITY: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR: grpc.StatusCode.INTERNAL,
}
_ROUTES = {
    pb.RecommendRequest: "recommend",
    pb.ScoreRequest: "score",
    pb.SimilarRequest: "similar",
    pb.VersionRequest: "version",
}


class Context(Protocol):
    """What of a call's context is used."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status of the call."""

    def set_details(self, details: str) -> None:
        """What was wrong."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """The call's headers, names in lower case; asked for where traces are on."""


class RpcService:
    """One coroutine per method; each takes a message and the call's context.

    A problem is told by the context's code and details, beside an empty message.
    """

    def __init__(
        self,
        replica: Replica,
        admission: Admission,
        clock: Clock,
        settings: Settings,
        measure: Measure = nobody,
        spans: ReplicaSpans | None = None,
    ) -> None:
        self._replica = replica
        self._admission = admission
        self._clock = clock
        self._measure = measure
        self._spans = spans
        self._limits = Limits.of(settings)
        serving = settings.serving
        self._own_writes = OwnWrites(replica.reach, serving.state_wait_ms, serving.max_ongoing)
        self._pass = SharedPass()

    async def recommend(self, message: pb.RecommendRequest, context: Context) -> pb.Answer:
        """``Recommend``."""

        async def answer(slot: Slot) -> pb.Answer:
            counts = {"exclude": len(message.exclude), "allow": len(message.allow.ids)}
            self._require_short(message.events, **counts)
            body = bodies.convert(recommend_fields(message), RecommendBody)
            request = bodies.check_recommend(body, self._limits, self._clock())
            self._own_writes.require(request)
            request = await self._replica.assigned(request)
            return answer_message(await self._pass.made(self._replica.answering(request), slot))

        return await self._call(message, answer, pb.Answer, context)

    async def score(self, message: pb.ScoreRequest, context: Context) -> pb.Answer:
        """``Score``."""

        async def answer(_: Slot) -> pb.Answer:
            self._require_short(message.events, items=len(message.items))
            body = bodies.convert(score_fields(message), ScoreBody)
            request = bodies.check_score(body, self._limits, self._clock())
            self._own_writes.require(request)
            request = await self._replica.assigned(request)
            return answer_message(self._replica.score(request))

        return await self._call(message, answer, pb.Answer, context)

    async def similar(self, message: pb.SimilarRequest, context: Context) -> pb.SimilarAnswer:
        """``Similar``."""

        async def answer(_: Slot) -> pb.SimilarAnswer:
            asked = similar_fields(message)
            request = bodies.check_similar(bodies.convert(asked, SimilarBody), self._limits)
            result = self._replica.similar(request)
            if result is None:
                raise problems.no_version_yet()
            loaded, near = result
            if near is None:
                raise problems.unknown_item(request.item_id, loaded.version)
            return pb.SimilarAnswer(
                item_id=message.item_id,
                items=scored_messages(near.items, near.scores),
                version=near.version,
                epoch=near.epoch,
            )

        return await self._call(message, answer, pb.SimilarAnswer, context)

    async def version(self, message: pb.VersionRequest, context: Context) -> pb.VersionAnswer:
        """``Version``."""

        async def answer(_: Slot) -> pb.VersionAnswer:
            loaded = self._replica.current()
            if loaded is None:
                raise problems.no_version_yet()
            now, read_ms = self._clock(), self._replica.follower().read_ms
            return pb.VersionAnswer(
                version=loaded.version,
                epoch=loaded.epoch,
                live_since_ms=loaded.live_since_ms,
                replica=self._replica.name,
                items=loaded.manifest.items,
                version_age_ms=now - loaded.manifest.created_ms,
                pointer_age_ms=None if read_ms is None else now - read_ms,
            )

        return await self._call(message, answer, pb.VersionAnswer, context)

    def _require_short(self, events: Sequence[pb.Event], **lists: int) -> None:
        """Before any of them is converted, which takes long for what small messages can list."""
        limits = self._limits
        bodies.require_at_most("events", len(events), limits.events, "serving.max_events")
        for field, length in lists.items():
            bodies.require_at_most(field, length, limits.items, "serving.max_items")

    async def _call(
        self,
        message: Message | Unreadable,
        answer: Callable[[Slot], Awaitable[_Message]],
        nothing: Callable[[], _Message],
        context: Context,
    ) -> _Message:
        began, problem = time.perf_counter(), ""
        code = grpc.StatusCode.OK
        try:
            try:
                answered = await self._admitted(message, answer)
            except problems.StateBehind as behind:
                await self._own_writes.wait(behind)
                answered = await self._admitted(message, answer)
        except Exception as error:
            ended_by = problems.problem_of(error)
            problem, code = ended_by.kind, _code(ended_by)
            context.set_code(code)
            context.set_details(ended_by.detail)
            answered = nothing()
        took = time.perf_counter() - began
        route = _ROUTES[_kind(message)]
        self._measure("grpc", route, code.name, problem, took)
        if self._spans is not None:
            self._spans.rpc(context.invocation_metadata(), route, code.name, problem, took)
        return answered

    async def _admitted(
        self, message: Message | Unreadable, answer: Callable[[Slot], Awaitable[_Message]]
    ) -> _Message:
        with self._admission.slot() as slot:
            # So that those that came together are counted before the first is worked on.
            await asyncio.sleep(0)
            slot.require_in_time()
            if isinstance(message, Unreadable):
                raise problems.unreadable(message.kind.DESCRIPTOR.full_name)
            if message.ByteSize() > self._limits.body_bytes:
                raise problems.too_large(self._limits.body_bytes)
            return await answer(slot)


def _kind(message: Message | Unreadable) -> type[Message]:
    return message.kind if isinstance(message, Unreadable) else type(message)


def _code(problem: problems.Problem) -> grpc.StatusCode:
    if problem.kind in ("overloaded", "timed-out"):
        return grpc.StatusCode.RESOURCE_EXHAUSTED
    return _CODES[problem.status]
