"""What the HTTP door takes and says, as an OpenAPI document and its page."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from everfresh.serving.http import ofrep
from everfresh.serving.recommend import Answer, SimilarAnswer
from everfresh.serving.requests import problems
from everfresh.serving.requests.bodies import Limits, RecommendBody, ScoreBody, SimilarBody

_ABOUT = (
    "Recommendations that follow the event log. Every answer names the weights version that made "
    "it and the offset of the user's last event that was known."
)
_REF = "#/components/schemas/{name}"
_EVENT = {"item_id": 50, "type": "view", "time": 1_700_000_000_000}
_RECOMMEND = {
    "integer user": {"user_id": 42, "k": 10},
    "string user, seen items too": {
        "user_id": "u-7",
        "k": 5,
        "exclude_seen": False,
        "request_id": "home-1",
    },
    "out of a list, after an event of this moment": {
        "user_id": 42,
        "allow": [318, 50, "B00042"],
        "exclude": [50],
        "events": [_EVENT],
    },
    "dramas of the nineties, two of a studio at most, one in its place": {
        "user_id": 42,
        "rules": {
            "filter": {
                "all": [
                    {"attribute": "genres", "equals": "Drama"},
                    {"attribute": "year", "at_least": 1990, "at_most": 1999},
                    {"none": [{"attribute": "adult", "equals": True}]},
                ]
            },
            "boosts": [{"filter": {"attribute": "new", "equals": True}, "add": 0.5}],
            "at_most": [{"attribute": "studio", "n": 2}],
            "mmr_lambda": 0.8,
            "pins": [{"item_id": 318, "position": 3}],
        },
        "attributes": ["title", "year"],
    },
}
_SCORE = {
    "three candidates": {"user_id": 42, "items": [318, 50, "B00042"]},
    "after an event of this moment": {"user_id": 42, "items": [318], "events": [_EVENT]},
}
_SIMILAR = {
    "an item's neighbours": {"item_id": 318, "k": 5},
    "those of one kind": {
        "item_id": 318,
        "filter": {"attribute": "genres", "equals": "Drama"},
    },
}
_ANSWER = {
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
    "request_events": 0,
    "experiment": None,
    "track": "default",
    "definition_version": None,
    "probability": None,
    "state_age_ms": None,
    "items_offset": 1682,
    "rules": None,
    "pinned": [],
    "teams": [],
    "team_of": [],
    "sticky": False,
    "explored": [],
    "propensities": [],
    "explored_share": None,
    "shortfall": None,
    "attributes": [{"title": "Heat"}, {"title": "Star Wars"}],
    "tail": "0:1840-2211 1:1795-2190",
}
_NEIGHBOURS = {
    "item_id": 318,
    "items": [50, 527],
    "scores": [0.83, 0.79],
    "version": 12,
    "epoch": 0,
}
_VERSION = {
    "version": 12,
    "epoch": 0,
    "live_since_ms": 1_700_000_000_000,
    "window": 850_000_006,
    "trained_through": {"0": 1842},
    "items": 1682,
    "replica": "replica-x1y2z3",
    "pointed_version": 12,
    "pointer_age_ms": 40,
    "reason": None,
}
_HEALTH = {
    "status": "ok",
    "replica": "replica-x1y2z3",
    "version": 12,
    "epoch": 0,
    "version_age_ms": 1_650,
    "pointer_age_ms": 40,
    "state_age_ms": 900,
}
_HEALTH_ABOUT = (
    "`version_age_ms` is the time since the live version was made, `pointer_age_ms` since this "
    "replica last read which version is to be live. `state_age_ms` is the time since which users' "
    "state here may lack events, where it is oldest; null where that is not known."
)
_STATUS = {
    "component": "replica-x1y2z3",
    "kind": "replica",
    "time": 1_700_000_000_000,
    "state": "serving",
    "figures": {"version": 12, "requests": 1948, "failed": 0},
    "place": "",
}


def build_docs(limits: Limits, prefix: str = "/") -> FastAPI:
    """The page at ``/docs``, which needs no other server, and ``/openapi.json``. ``prefix`` stands
    before every path."""
    app = FastAPIOffline(title="everfresh", redoc_url=None, static_url="/docs/static")
    made = document(limits)
    if prefix != "/":
        made["servers"] = [{"url": prefix}]
    app.openapi = lambda: made  # type: ignore[method-assign]  # FastAPI's own way to give another
    app.add_exception_handler(HTTPException, _problem_response)
    return app


def _problem_response(request: Request, error: Exception) -> Response:
    """The problem document in place of the framework's own; what is here is only read."""
    method_is_wrong = isinstance(error, HTTPException) and error.status_code == 405
    problem = (
        problems.method_not_allowed(request.method, ["GET"])
        if method_is_wrong
        else problems.not_found(request.url.path)
    )
    return Response(problem.document(), int(problem.status), problem.headers)


def document(limits: Limits) -> dict[str, Any]:
    """The OpenAPI document; ``limits`` are told with the requests."""
    _, schemas = msgspec.json.schema_components(
        [RecommendBody, ScoreBody, SimilarBody, Answer, SimilarAnswer], ref_template=_REF
    )
    _limit(schemas, limits)
    return {
        "openapi": "3.1.0",
        "info": {"title": "everfresh", "version": "1", "description": _ABOUT},
        "paths": _paths(),
        "components": {
            "schemas": {**schemas, "Problem": problems.SCHEMA},
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}},
        },
    }


def _limit(schemas: dict[str, Any], limits: Limits) -> None:
    for body in ("RecommendBody", "ScoreBody", "SimilarBody"):
        for name, field in schemas[body]["properties"].items():
            if name == "k":
                field["maximum"] = limits.k
            elif name in ("items", "exclude", "allow"):
                field["maxItems"] = limits.items
            elif name == "events":
                field["maxItems"] = limits.events


def _paths() -> dict[str, Any]:
    said, known = "Recommend items to a user", "Score given items for a user"
    admin = _get("What the replica says of itself; administrators only", _STATUS, 401, 403)
    admin["get"]["security"] = [{"admin": []}]
    posts, answer = (413, 408, 422, 500, 503), ("Answer", _ANSWER)
    return {
        "/v1/recommend": _post(said, "RecommendBody", _RECOMMEND, answer, posts, _ARM_HEADERS),
        "/v1/score": _post(known, "ScoreBody", _SCORE, answer, posts, _ARM_HEADERS),
        "/v1/similar": _post(
            "Items like an item",
            "SimilarBody",
            _SIMILAR,
            ("SimilarAnswer", _NEIGHBOURS),
            (404, *posts),
        ),
        "/v1/version": _get("The live version of the replica that answers", _VERSION, 503),
        "/healthz": _get("Whether the replica runs, with what, and how old that is", _HEALTH)
        | {"description": f"{_HEALTH_ABOUT} Nulls before the first version."},
        "/readyz": _get(
            "Whether the replica answers: 503 until a version is live",
            {**_HEALTH, "status": "ready"},
            503,
        )
        | {"description": _HEALTH_ABOUT},
        "/v1/admin/status": admin,
        **ofrep.documented(),
    }


def _post(
    summary: str,
    body: str,
    examples: dict[str, Any],
    answer: tuple[str, dict[str, Any]],
    statuses: tuple[int, ...],
    headers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    name, example = answer
    given = {"schema": {"$ref": _REF.format(name=name)}, "example": example}
    taken = {
        "schema": {"$ref": _REF.format(name=body)},
        "examples": {title: {"value": value} for title, value in examples.items()},
    }
    responses = {
        "200": {
            "description": "The answer.",
            "content": {"application/json": given},
            "headers": {**_HEADERS, **(headers or {})},
        },
        **_problems(*statuses),
    }
    request = {"required": True, "content": {"application/json": taken}}
    return {"post": {"summary": summary, "requestBody": request, "responses": responses}}


def _get(summary: str, example: dict[str, Any], *statuses: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    responses = {"200": {"description": "Yes.", "content": content}, **_problems(*statuses)}
    return {"get": {"summary": summary, "responses": responses}}


def _problems(*statuses: int) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
    return {str(code): {"description": "A problem.", "content": content} for code in statuses}


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
_ARM_HEADERS = {
    "X-Everfresh-Arm": {
        "description": "The arm that the answer was made for; `default` outside all experiments.",
        "schema": {"type": "string"},
    },
    "X-Everfresh-Experiment": {
        "description": "The experiment that decided the arm; absent outside all experiments.",
        "schema": {"type": "string"},
    },
}
