"""The gRPC door of one replica: messages to requests, answers to messages, problems to statuses.

The same checks, gate and replica as the HTTP door's; Ray is not named here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from everfresh.contracts.errors import StateError
from everfresh.contracts.event import ItemId
from everfresh.contracts.ports import Clock
from everfresh.contracts.settings import Settings
from everfresh.serving.admission import Gate
from everfresh.serving.http import bodies, problems
from everfresh.serving.http.bodies import Limits, RecommendBody, ScoreBody, SimilarBody
from everfresh.serving.recommend import Answer
from everfresh.serving.replica import Replica
from everfresh.serving.rpc import recommender_pb2 as pb

_LOG = logging.getLogger(__name__)
_Said = TypeVar("_Said", bound=Message)
_CODES = {
    HTTPStatus.UNPROCESSABLE_ENTITY: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}


class Context(Protocol):
    """What of a call's context is used."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status of the call."""

    def set_details(self, details: str) -> None:
        """What was wrong."""


class RpcDoor:
    """One coroutine per method; each takes a message and the call's context.

    A problem is told by the context's code and details, beside an empty message.
    """

    def __init__(self, replica: Replica, gate: Gate, clock: Clock, settings: Settings) -> None:
        self._replica = replica
        self._gate = gate
        self._clock = clock
        self._limits = Limits.of(settings)

    async def recommend(self, said: pb.RecommendRequest, context: Context) -> pb.Answer:
        """``Recommend``."""

        def answer() -> pb.Answer:
            body = bodies.convert(_recommend(said), RecommendBody)
            request = bodies.check_recommend(body, self._limits, self._clock())
            return _answer(self._replica.answer(request))

        return await self._call(said, answer, pb.Answer, context)

    async def score(self, said: pb.ScoreRequest, context: Context) -> pb.Answer:
        """``Score``."""

        def answer() -> pb.Answer:
            body = bodies.convert(_score(said), ScoreBody)
            request = bodies.check_score(body, self._limits, self._clock())
            return _answer(self._replica.score(request))

        return await self._call(said, answer, pb.Answer, context)

    async def similar(self, said: pb.SimilarRequest, context: Context) -> pb.SimilarAnswer:
        """``Similar``."""

        def answer() -> pb.SimilarAnswer:
            asked = {"item_id": _id(said.item_id), **_given(said, "k")}
            request = bodies.check_similar(bodies.convert(asked, SimilarBody), self._limits)
            found = self._replica.similar(request)
            if found is None:
                raise problems.no_version_yet()
            served, near = found
            if near is None:
                raise problems.unknown_item(request.item_id, served.version)
            return pb.SimilarAnswer(
                item_id=said.item_id,
                items=_scored(near.items, near.scores),
                version=near.version,
                epoch=near.epoch,
            )

        return await self._call(said, answer, pb.SimilarAnswer, context)

    async def version(self, said: pb.VersionRequest, context: Context) -> pb.VersionAnswer:
        """``Version``."""

        def answer() -> pb.VersionAnswer:
            served = self._replica.current()
            if served is None:
                raise problems.no_version_yet()
            now, read_ms = self._clock(), self._replica.follower().read_ms
            return pb.VersionAnswer(
                version=served.version,
                epoch=served.epoch,
                live_since_ms=served.live_since_ms,
                replica=self._replica.name,
                items=served.manifest.items,
                version_age_ms=now - served.manifest.created_ms,
                pointer_age_ms=None if read_ms is None else now - read_ms,
            )

        return await self._call(said, answer, pb.VersionAnswer, context)

    async def _call(
        self,
        said: Message,
        answer: Callable[[], _Said],
        nothing: Callable[[], _Said],
        context: Context,
    ) -> _Said:
        try:
            with self._gate.visit() as turn:
                # So that those that came together are counted before the first is worked on.
                await asyncio.sleep(0)
                turn()
                if said.ByteSize() > self._limits.body_bytes:
                    raise problems.too_large(self._limits.body_bytes)
                return answer()
        except Exception as error:
            code, details = _status(error)
        context.set_code(code)
        context.set_details(details)
        return nothing()


def _status(error: Exception) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, problems.Problem):
        busy = error.kind in ("overloaded", "timed-out")
        code = grpc.StatusCode.RESOURCE_EXHAUSTED if busy else _CODES[error.status]
        return code, error.detail
    if isinstance(error, StateError):
        _LOG.error("user state cannot be read: %s", error)
        return grpc.StatusCode.UNAVAILABLE, str(error)
    _LOG.error("a call failed", exc_info=error)
    return grpc.StatusCode.INTERNAL, problems.internal().detail


def _id(said: pb.Id) -> ItemId | None:
    kind = said.WhichOneof("kind")
    value: ItemId | None = None if kind is None else getattr(said, kind)
    return value


def _ids(said: Iterable[pb.Id]) -> list[ItemId | None]:
    return [_id(one) for one in said]


def _given(said: Message, *names: str) -> dict[str, Any]:
    """Those optional fields that are there."""
    return {name: getattr(said, name) for name in names if said.HasField(name)}


def _events(said: Iterable[pb.Event]) -> list[dict[str, Any]]:
    return [
        {"item_id": _id(one.item_id), "type": one.type, **_given(one, "time", "value")}
        for one in said
    ]


def _recommend(said: pb.RecommendRequest) -> dict[str, Any]:
    return {
        "user_id": _id(said.user_id),
        "exclude": _ids(said.exclude),
        "allow": _ids(said.allow.ids) if said.HasField("allow") else None,
        "events": _events(said.events),
        **_given(said, "k", "exclude_seen", "request_id"),
    }


def _score(said: pb.ScoreRequest) -> dict[str, Any]:
    return {
        "user_id": _id(said.user_id),
        "items": _ids(said.items),
        "events": _events(said.events),
        **_given(said, "request_id"),
    }


def _said_id(value: ItemId) -> pb.Id:
    return pb.Id(number=value) if isinstance(value, int) else pb.Id(text=value)


def _scored(items: Iterable[ItemId], scores: Iterable[float | None]) -> list[pb.Scored]:
    return [
        pb.Scored(item_id=_said_id(item), score=score)
        for item, score in zip(items, scores, strict=True)
    ]


def _answer(answer: Answer | None) -> pb.Answer:
    if answer is None:
        raise problems.no_version_yet()
    return pb.Answer(
        request_id=answer.request_id,
        user_id=_said_id(answer.user_id),
        items=_scored(answer.items, answer.scores),
        version=answer.version,
        epoch=answer.epoch,
        arm=answer.arm,
        source=answer.source,
        note=answer.note,
        state_partition=answer.state_partition,
        state_offset=answer.state_offset,
        request_events=answer.request_events,
        past_version=answer.past_version,
    )
