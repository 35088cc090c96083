"""Errors over HTTP: problem documents (RFC 9457), every one of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from contracts.errors import StateError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
_LOG = logging.getLogger(__name__)

SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "A problem document as in RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Which kind of problem; stable."},
        "title": {"type": "string", "description": "The kind in words; the same every time."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What was wrong this time, and what to do."},
        "errors": {
            "type": "array",
            "description": "What was wrong with each field.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


class Problem(Exception):
    """Ends a request with a problem document. ``kind`` goes into its type; the rest as it is."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        title: str,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.errors = list(errors)

    def response(self) -> Response:
        """The document; a 503 says when to come again."""
        body: dict[str, Any] = {
            "type": f"urn:everfresh:problem:{self.kind}",
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        headers = {"Cache-Control": "no-store"}
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return Response(msgspec.json.encode(body), int(self.status), headers, MEDIA_TYPE)


def no_version_yet() -> Problem:
    """503: nothing was trained yet, or this replica has not loaded it yet."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "no-version-yet",
        "No version is live yet",
        "The first version goes live once the first window of events is trained; try again then.",
    )


def bad_request(detail: str, errors: Sequence[Mapping[str, str]] = ()) -> Problem:
    """422: the body is no request of ours."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "bad-request", "The request is not valid", detail, errors
    )


def too_large(limit: int) -> Problem:
    """413: no request of ours is that long."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        "The request is too large",
        f"A request has at most {limit} bytes.",
    )


def add_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem document, and none with a traceback."""

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def of_the_protocol(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        kind = status.phrase.lower().replace(" ", "-")
        response = Problem(status, kind, status.phrase, str(error.detail)).response()
        response.headers.update(error.headers or {})
        return response

    async def of_the_state(_: Request, error: Exception) -> Response:
        _LOG.error("user state cannot be read: %s", error)
        title = "User state cannot be read"
        return Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "state-unreadable", title, str(error)
        ).response()

    async def unforeseen(_: Request, error: Exception) -> Response:
        _LOG.error("a request failed", exc_info=error)
        return Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here",
            "The request could not be answered; the replica's log says why.",
        ).response()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, of_the_protocol)
    app.add_exception_handler(StateError, of_the_state)
    app.add_exception_handler(Exception, unforeseen)
