"""Errors of a request: what was wrong, what to do, and the problem document (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from everfresh.contracts.errors import StateElsewhere, StateError
from everfresh.contracts.event import ItemId, UserId

_LOG = logging.getLogger(__name__)
_LONGEST_DETAIL = 500
"""Characters. Details quote what a client sent, and gRPC's travel in headers, which are short."""

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

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
            "description": "What was wrong with which field.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


class Problem(Exception):
    """Ends a request. ``kind`` goes into the document's type; the rest as it is."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        title: str,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        detail = _shortened(detail)
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.errors = list(errors)
        self.headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **(headers or {})}
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers["Retry-After"] = str(RETRY_AFTER_S)

    def document(self) -> bytes:
        """The problem document."""
        body: dict[str, Any] = {
            "type": f"urn:everfresh:problem:{self.kind}",
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        return msgspec.json.encode(body)


def no_version_yet() -> Problem:
    """503: nothing was trained yet, or this replica has not loaded it yet."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "no-version-yet",
        "No version is live yet",
        "The first version goes live once the first window of events is trained; try again then.",
    )


def overloaded(limit: int) -> Problem:
    """503: as many requests wait here as may."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "overloaded",
        "Too many requests at once",
        f"This replica has {limit} requests under way (serving.max_ongoing), as many as it may; "
        "try again later, or add replicas.",
    )


def too_late(timeout_ms: int) -> Problem:
    """503: it waited so long that nobody may want the answer any more."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "timed-out",
        "The request waited too long",
        f"Its turn did not come within {timeout_ms} ms (serving.timeout_ms); try again later.",
    )


def body_too_slow(timeout_ms: int) -> Problem:
    """408: the body did not arrive, or, by HAProxy, not even the head."""
    return Problem(
        HTTPStatus.REQUEST_TIMEOUT,
        "body-too-slow",
        "The request did not arrive in time",
        f"A request's head, then its body, must each arrive within {timeout_ms} ms "
        "(serving.timeout_ms).",
        headers={"Connection": "close"},
    )


def no_replica(status: HTTPStatus) -> Problem:
    """502, 503 or 504, by HAProxy: nobody behind it answered."""
    return Problem(
        status,
        "no-replica",
        "No replica answered",
        "Replicas that have died are started again; try again in a few seconds.",
    )


def bad_request(field: str, detail: str) -> Problem:
    """422: the body is no request of ours."""
    field, detail = _shortened(field), _shortened(detail)
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "bad-request",
        "The request is not valid",
        f"{field}: {detail}",
        [{"field": field, "detail": detail}],
    )


def unreadable(expected: str) -> Problem:
    """422: over gRPC, bytes that are no message."""
    detail = f"these bytes are no {expected}; use the recommender.proto of this release"
    return bad_request("message", detail)


def unknown_item(item: ItemId, version: int) -> Problem:
    """404: the live version has no row for it."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        "unknown-item",
        "The item is not known",
        f"Version {version} does not know the item {item!r}; items are learnt from events.",
    )


def too_large(limit: int) -> Problem:
    """413: no request of ours is that long."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        "The request is too large",
        f"A request has at most {limit} bytes (serving.max_body_bytes).",
        headers={"Connection": "close"},
    )


def head_too_large(limit: int) -> Problem:
    """431, by HAProxy: no request of ours has such a head."""
    return Problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "head-too-large",
        "The request's head is too large",
        f"The address of a request has at most {limit} bytes, and so have its headers in all.",
    )


def not_found(path: str) -> Problem:
    """404: nothing is there."""
    title = "There is nothing here"
    detail = f"{path} is no address of this service; /docs names them."
    return Problem(HTTPStatus.NOT_FOUND, "not-found", title, detail)


def method_not_allowed(method: str, allowed: Sequence[str]) -> Problem:
    """405: another method is meant."""
    return Problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "The method is not allowed here",
        f"{', '.join(allowed)} was expected, found {method}.",
        headers={"Allow": ", ".join(allowed)},
    )


def not_admitted(*, configured: bool) -> Problem:
    """401: an admin route without its token; 403 where this service has none."""
    title = "Administrators only"
    if not configured:
        detail = "No serving.admin_token is set, so these addresses are closed."
        return Problem(HTTPStatus.FORBIDDEN, "admin-closed", title, detail)
    detail = "The header `Authorization: Bearer TOKEN` with serving.admin_token was expected."
    challenge = {"WWW-Authenticate": "Bearer"}
    return Problem(HTTPStatus.UNAUTHORIZED, "not-admitted", title, detail, headers=challenge)


def state_unreadable(error: Exception) -> Problem:
    """503: the user's state cannot be read."""
    title = "User state cannot be read"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "state-unreadable", title, str(error))


def state_elsewhere(error: StateElsewhere) -> Problem:
    """503: another machine has this user's state; a load balancer may ask there."""
    title = "This user's state is kept elsewhere"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "state-elsewhere", title, str(error))


class StateBehind(Problem):
    """503: the user's state does not hold the event that the request names.

    Raised at once; who can wait does so (:mod:`everfresh.serving.requests.own_writes`).
    """

    def __init__(self, user: UserId, offset: int, found: str) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "state-behind",
            "The user's state does not hold that event yet",
            f"min_state_offset asks for offset {offset}; {found}. Ask again, or send the event "
            "along in `events`.",
        )
        self.user = user
        self.offset = offset


def problem_of(error: Exception) -> Problem:
    """What a request ends with for this error. One that is no :class:`Problem` is logged here."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StateElsewhere):
        return state_elsewhere(error)
    if isinstance(error, StateError):
        _LOG.error("user state cannot be read: %s", error)
        return state_unreadable(error)
    _LOG.error("a request failed", exc_info=error)
    return internal()


def internal() -> Problem:
    """500: a fault of ours, of which the outside learns nothing."""
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "Something went wrong here",
        "The request could not be answered; the replica's log says why.",
    )


def _shortened(said: str) -> str:
    return said if len(said) <= _LONGEST_DETAIL else f"{said[:_LONGEST_DETAIL]} ... (cut)"
