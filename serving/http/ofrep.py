"""The OpenFeature Remote Evaluation Protocol: other applications ask for a user's arm.

Each running experiment is a flag whose value is the arm that the user gets here, and ``default``
where the experiment does not decide. Asking leaves no exposure: nothing was shown. The source is
the protocol's OpenAPI document, version 0.2 (open-feature/protocol).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from everfresh.contracts.event import MAX_ID_BYTES
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment, Assignments
from everfresh.contracts.foreign import UNREADABLE, printable
from everfresh.serving.requests.problems import Problem

_BAD = HTTPStatus.BAD_REQUEST
PREFIX = "/ofrep/v1/evaluate/flags"
_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_DETAIL_CHARACTERS = 200

Reply = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers, body."""


class Refused(Problem):
    """A problem whose document is the protocol's own; ``code`` is one of its error codes."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        headers = {"Content-Type": "application/json"}
        super().__init__(status, "ofrep-refused", "The flag has no value", detail, (), headers)
        self.code = code
        self.key: str | None = None

    def document(self) -> bytes:
        """As OFREP has it."""
        named = {} if self.key is None else {"key": self.key}
        return _ENCODE({**named, "errorCode": self.code, "errorDetails": self.detail})


class _Request(msgspec.Struct, frozen=True):
    context: dict[str, Any] | None = None


_DECODE = msgspec.json.Decoder(_Request).decode
_ENCODE = msgspec.json.Encoder().encode


class Ofrep:
    """Answers by what ``definitions`` gives at that moment."""

    def __init__(self, definitions: Callable[[], Assignments]) -> None:
        self._definitions = definitions

    def __call__(self, path: str, headers: Iterable[tuple[bytes, bytes]], raw: bytes) -> Reply:
        """Evaluate the flag that the path names after :data:`PREFIX`, or all where it names none.

        Raises ``Refused`` for a flag that is none, and for a request that is none.
        """
        if path == PREFIX:
            return _all_flags(self._definitions(), _targeting_key(raw), headers)
        key = path.removeprefix(f"{PREFIX}/")
        try:
            flag = _one_flag(self._definitions(), key, _targeting_key(raw))
        except Refused as refused:
            refused.key = key
            raise
        return 200, [_JSON, _NO_STORE], _ENCODE(flag)


def _targeting_key(raw: bytes) -> str:
    try:
        context = _DECODE(raw).context or {}
    except UNREADABLE as error:
        detail = printable(str(error))[:_DETAIL_CHARACTERS]
        raise Refused(_BAD, "PARSE_ERROR", f"the body is no evaluation request: {detail}") from None
    user = context.get("targetingKey")
    if user is None or user == "":
        detail = "context.targetingKey was expected, which is the user id as text"
        raise Refused(_BAD, "TARGETING_KEY_MISSING", detail)
    if not isinstance(user, str) or len(user.encode()) > MAX_ID_BYTES:
        detail = f"context.targetingKey is a text of at most {MAX_ID_BYTES} bytes, the user id"
        raise Refused(_BAD, "INVALID_CONTEXT", detail)
    return user


def _one_flag(assignments: Assignments, key: str, user: str) -> dict[str, Any]:
    assignment = assignments.assign_in(key, user)
    if assignment is None:
        detail = (
            f"no experiment {ascii(key)[:80]} is running; `everfresh experiment list` lists all"
        )
        raise Refused(HTTPStatus.NOT_FOUND, "FLAG_NOT_FOUND", detail)
    return _flag(key, assignment)


def _flag(key: str, assignment: Assignment) -> dict[str, Any]:
    metadata: dict[str, Any] = {"track": assignment.track}
    if assignment.definition_version is not None:
        metadata["definitionVersion"] = assignment.definition_version
    return {
        "key": key,
        "value": assignment.arm,
        "variant": assignment.arm,
        "reason": "DEFAULT" if assignment.experiment is None else "SPLIT",
        "metadata": metadata,
    }


def _all_flags(
    assignments: Assignments, user: str, headers: Iterable[tuple[bytes, bytes]]
) -> Reply:
    """All running experiments; 304 without a body where the client has this answer already."""
    decided = assignments.assign(user)
    flags = [
        _flag(name, decided if name == decided.experiment else NO_EXPERIMENT)
        for name in assignments.names()
    ]
    body = _ENCODE({"flags": flags})
    tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
    # A client keeps the answer, and asks each time whether it still holds.
    told = [(b"etag", tag), (b"cache-control", b"private, no-cache")]
    if _has(tag, [value for name, value in headers if name == b"if-none-match"]):
        return 304, told, b""
    return 200, [_JSON, *told], body


def _has(tag: bytes, given: Sequence[bytes]) -> bool:
    """Whether ``If-None-Match`` names the tag (RFC 9110, section 13.1.2: a weak comparison)."""
    tags = {each.strip(b" \t").removeprefix(b"W/") for line in given for each in line.split(b",")}
    return bool(tags & {tag, b"*"})


def documented() -> dict[str, Any]:
    """The two addresses as an OpenAPI document has them; the protocol's own says all."""
    flag = _flag("home-page", Assignment("home-page", "treatment", definition_version=17))
    problem = {"errorCode": "TARGETING_KEY_MISSING", "errorDetails": "what was wrong"}
    asked = _example({"context": {"targetingKey": "42"}})

    def post(summary: str, answer: dict[str, Any], *more: int) -> dict[str, Any]:
        responses = {"200": {"description": "The arm.", "content": _example(answer)}}
        for status in (400, *more):
            wrong = {"description": "No arm, and why.", "content": _example(problem)}
            responses[str(status)] = wrong
        body = {"required": True, "content": asked}
        return {"post": {"summary": summary, "requestBody": body, "responses": responses}}

    return {
        PREFIX: post("Arms of a user in all running experiments (OFREP)", {"flags": [flag]}),
        f"{PREFIX}/{{key}}": post("A user's arm in one experiment (OFREP)", flag, 404),
    }


def _example(value: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": {"type": "object"}, "example": value}}
