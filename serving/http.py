"""The HTTP door of one replica: an ASGI app over it, documented by OpenAPI."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)

from contracts.event import MAX_ID_BYTES
from contracts.ports import Clock
from serving import problems
from serving.recommend import Answer, Request
from serving.replica import Replica
from serving.versions import Served

MAX_BODY_BYTES = 16_384
_INT64 = 2**63
_ABOUT = (
    "Recommendations that follow the event log. Every answer names the weights version that made "
    "it and the offset of the user's last event that was known."
)
_EXAMPLES = {
    "integer user": {"value": {"user_id": 42, "k": 10}},
    "string user, seen items too": {
        "value": {"user_id": "u-7", "k": 5, "exclude_seen": False, "request_id": "home-1"}
    },
}


def _fits(text: str) -> str:
    if len(text.encode()) > MAX_ID_BYTES:
        raise ValueError(f"at most {MAX_ID_BYTES} bytes of UTF-8")
    return text


_Int = Annotated[StrictInt, Field(ge=-_INT64, lt=_INT64)]
_Text = Annotated[StrictStr, Field(min_length=1), AfterValidator(_fits)]


class RecommendBody(BaseModel):
    """What ``POST /v1/recommend`` takes. Types are strict: ``true`` is no number, ``"7"`` neither.

    ``k`` is checked against the setting ``serving.max_k`` besides.
    """

    model_config = ConfigDict(extra="forbid")

    user_id: _Int | _Text = Field(
        description='A 64-bit integer or a non-empty string; 7 and "7" are two users.'
    )
    k: Annotated[StrictInt, Field(ge=1)] = Field(10, description="How many items at most.")
    exclude_seen: StrictBool = Field(
        True, description="Leave out the items of the user's known history."
    )
    request_id: _Text | None = Field(
        None,
        description="Comes back in the answer and the exposure; feedback events name it. "
        "Made here where it is absent.",
    )


def build_app(replica: Replica, clock: Clock, max_k: int) -> FastAPI:
    """The app of one replica. The documentation page needs no other server."""
    app = FastAPIOffline(
        title="everfresh",
        version="1",
        description=_ABOUT,
        redoc_url=None,
        static_url="/docs/static",
    )
    problems.add_handlers(app)
    _add_recommend(app, replica, max_k)
    _add_health(app, replica)
    _add_version(app, replica, clock)
    return app


def _add_recommend(app: FastAPI, replica: Replica, max_k: int) -> None:
    body = {"schema": RecommendBody.model_json_schema(), "examples": _EXAMPLES}

    @app.post(
        "/v1/recommend",
        summary="Recommend items to a user",
        response_class=_Json,
        responses={
            200: {
                "description": "The best items, best first.",
                "content": {"application/json": {"schema": _answer_schema()}},
                "headers": _HEADERS,
            },
            **_problem_responses(413, 422, 500, 503),
        },
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": body}}},
    )
    async def recommend(http: HttpRequest) -> Response:
        answer = replica.answer(parse_request(await _read(http), max_k))
        if answer is None:
            raise problems.no_version_yet()
        return _Json(answer, headers=_version_headers(answer, replica))


def _add_health(app: FastAPI, replica: Replica) -> None:
    @app.get("/healthz", summary="Whether the replica runs")
    async def healthz() -> dict[str, str]:
        return {"status": "ok", "replica": replica.name}

    @app.get(
        "/readyz",
        summary="Whether the replica answers: 503 until a version is live",
        responses=_problem_responses(503),
    )
    async def readyz() -> dict[str, Any]:
        served = _require_live(replica)
        return {"status": "ready", "replica": replica.name, "version": served.version}


def _add_version(app: FastAPI, replica: Replica, clock: Clock) -> None:
    @app.get(
        "/v1/version",
        summary="The live version of the replica that answers",
        responses=_problem_responses(503),
    )
    async def version() -> dict[str, Any]:
        served, follower = _require_live(replica), replica.follower()
        read_ms = follower.read_ms
        return {
            "version": served.version,
            "epoch": served.epoch,
            "live_since_ms": served.live_since_ms,
            "window": served.manifest.label,
            "trained_through": served.manifest.trained_through,
            "items": served.manifest.items,
            "replica": replica.name,
            "pointed_version": follower.pointer.version if follower.pointer else None,
            "pointer_age_ms": None if read_ms is None else clock() - read_ms,
            "reason": follower.reason,
        }


def parse_request(raw: bytes, max_k: int) -> Request:
    """A request from its JSON; a :class:`problems.Problem` that names each wrong field."""
    try:
        body = RecommendBody.model_validate_json(raw)
    except ValidationError as error:
        wrong = [
            {"field": _field(item["loc"]), "detail": item["msg"]}
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        said = "; ".join(f"{item['field']}: {item['detail']}" for item in wrong)
        raise problems.bad_request(said, wrong) from None
    if body.k > max_k:
        said = f"k must be at most {max_k} (serving.max_k), found {body.k}"
        raise problems.bad_request(said, [{"field": "k", "detail": said}])
    return Request(body.request_id or uuid.uuid4().hex, body.user_id, body.k, body.exclude_seen)


def _field(location: tuple[int | str, ...]) -> str:
    # Which branch of "integer or string" failed is pydantic's affair; the field is the first part.
    return str(location[0]) if location else "body"


async def _read(http: HttpRequest) -> bytes:
    raw = bytearray()
    async for chunk in http.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise problems.too_large(MAX_BODY_BYTES)
    return bytes(raw)


def _require_live(replica: Replica) -> Served:
    served = replica.current()
    if served is None:
        raise problems.no_version_yet()
    return served


class _Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


_HEADERS = {
    "X-Everfresh-Version": {
        "description": "The weights version that scored every item.",
        "schema": {"type": "integer"},
    },
    "X-Everfresh-Replica": {
        "description": "The replica that answered.",
        "schema": {"type": "string"},
    },
}


def _version_headers(answer: Answer, replica: Replica) -> dict[str, str]:
    return {
        "X-Everfresh-Version": str(answer.version),
        "X-Everfresh-Replica": replica.name,
        "Cache-Control": "no-store",
    }


def _answer_schema() -> dict[str, Any]:
    schema = msgspec.json.schema(Answer)
    described: dict[str, Any] = schema["$defs"]["Answer"]
    described["example"] = {
        "request_id": "home-1",
        "user_id": 42,
        "items": [318, 50],
        "scores": [9.7, 9.1],
        "version": 12,
        "epoch": 0,
        "arm": "default",
        "source": "model",
        "note": None,
        "state_partition": 3,
        "state_offset": 1841,
    }
    return described


def _problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {problems.MEDIA_TYPE: {"schema": problems.SCHEMA}}
    return {status: {"description": "A problem.", "content": content} for status in statuses}
