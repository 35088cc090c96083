"""What HAProxy is told about every connection and request: how long, how large, and to whom.

Text for its configuration, and the answers that it gives by itself. Names no framework.

Whatever holds a connection has an end. A request's head, then its body, have ``timeout_ms`` each;
only then does a replica hear of it, and whole, so that HAProxy can ask another one again. What is
longer than a request may be is refused before a replica sees any of it.

A HAProxy that was reloaded answers the connections that it still has, by a list of replicas that
nobody keeps up to date. So it hands their requests to the process that has its port by then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from everfresh.serving.requests import problems
from everfresh.serving.requests.problems import Problem

LONGEST_HEAD = 16_384
"""Bytes of a request's address, and as many of its headers."""

_WITHOUT_RAYS_OWN = r"""
    # Headers that have Ray do other than we say, or fail at bytes that are no text.
    http-request del-header '^x-request-(timeout-seconds|disconnect-disabled)$' -m reg
    http-request del-header '^(serve[-_]multiplexed[-_]model[-_]id|x[-_]session[-_]id)$' -m reg
    http-request del-header x-request-id unless { req.hdr(x-request-id) -m reg '^[ -~]+$' }
"""
_FRAMING = 5
"""Bytes that gRPC puts before a message."""

_DEADLINE_EXCEEDED, _RESOURCE_EXHAUSTED, _UNAVAILABLE = 4, 8, 14
_SUCCESSOR = """
backend everfresh_successor
    # A connection for each request, as only a new one reaches the newest process. The address is
    # that by which the client came.
    http-reuse never
    option httpclose
    server door 0.0.0.0
backend everfresh_grpc_successor
    http-reuse never
    server door 0.0.0.0 proto h2
"""


def sections(files: Path, timeout_ms: int, body_bytes: int, *, metrics: bool) -> Mapping[str, str]:
    """What goes where in HAProxy's configuration; answers are written beside ``files``.

    ``defaults``, ``frontend`` and ``grpc`` belong into the sections of these names, ``route`` and
    ``grpc_route`` before the choice of a backend, ``grpc_errors`` into gRPC's backends, and
    ``backends`` at the end.
    """
    quiet = "" if metrics else "    option dontlog-normal\n"
    # A connection opened ahead of its first request is closed without an answer to none.
    head = f"    option http-ignore-probes\n    timeout http-request {timeout_ms}ms\n"
    wait = f"    http-request wait-for-body time {timeout_ms}ms\n"
    long_head = f"{{ req.hdrs,length gt {LONGEST_HEAD} }} || {{ url,length gt {LONGEST_HEAD} }}"
    head_too_long, too_long = problems.head_too_large(LONGEST_HEAD), problems.too_large(body_bytes)
    grpc_errors = "".join(_grpc_errorfile(error, files) for error in _own_errors(timeout_ms))
    return {
        "defaults": quiet + head + "".join(_errorfile(e, files) for e in _own_errors(timeout_ms)),
        "frontend": _WITHOUT_RAYS_OWN
        + _return(head_too_long, files, long_head)
        + _return(too_long, files, f"{{ req.body_size gt {body_bytes} }}")
        + wait
        + _return(too_long, files, f"{{ req.body_len gt {body_bytes} }}"),
        "grpc": grpc_errors
        + _grpc_return(head_too_long, files, long_head)
        + wait
        + _grpc_return(too_long, files, f"{{ req.body_len gt {body_bytes + _FRAMING} }}"),
        "route": "    use_backend everfresh_successor if { stopping }\n",
        "grpc_route": "    use_backend everfresh_grpc_successor if { stopping }\n",
        "grpc_errors": grpc_errors,
        "backends": _SUCCESSOR + grpc_errors,
    }


def _own_errors(timeout_ms: int) -> list[Problem]:
    kinds = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
    return [problems.body_too_slow(timeout_ms), *(problems.no_replica(kind) for kind in kinds)]


def _return(problem: Problem, files: Path, condition: str) -> str:
    """The line that has HAProxy answer with this problem where the condition holds."""
    file = files.with_suffix(f".{problem.status}.json")
    file.write_bytes(problem.document())
    headers = {name: value for name, value in problem.headers.items() if name != "Content-Type"}
    said = " ".join(f"hdr {name} {value}" for name, value in headers.items())
    kind = problems.MEDIA_TYPE
    answer = f"status {problem.status} content-type {kind} file {_quoted(file)} {said}"
    return f"    http-request return {answer} if {condition}\n"


def _errorfile(problem: Problem, files: Path) -> str:
    """The line that has HAProxy say this in place of an error of its own."""
    body = problem.document()
    headers = {**problem.headers, "Content-Length": len(body), "Connection": "close"}
    first = f"{problem.status} {problem.status.phrase}"
    file = _write_answer(files.with_suffix(f".{problem.status}"), first, headers, body)
    return f"    errorfile {problem.status} {file}\n"


def _grpc_return(problem: Problem, files: Path, condition: str) -> str:
    file = _write_grpc_answer(problem, files)
    return f"    http-request return status 200 errorfile {file} if {condition}\n"


def _grpc_errorfile(problem: Problem, files: Path) -> str:
    return f"    errorfile {problem.status} {_write_grpc_answer(problem, files)}\n"


def _write_grpc_answer(problem: Problem, files: Path) -> str:
    """The whole answer is a gRPC status, which travels in headers where there is no message."""
    headers = {"Content-Length": 0, **_grpc_head(problem)}
    return _write_answer(files.with_suffix(f".{problem.status}.grpc"), "200 OK", headers, b"")


def _write_answer(file: Path, first: str, headers: Mapping[str, object], body: bytes) -> str:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    file.write_bytes(f"HTTP/1.1 {first}\r\n{head}\r\n".encode() + body)
    return _quoted(file)


def _grpc_head(problem: Problem) -> dict[str, object]:
    codes = {
        HTTPStatus.REQUEST_TIMEOUT: _DEADLINE_EXCEEDED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _RESOURCE_EXHAUSTED,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: _RESOURCE_EXHAUSTED,
    }
    status = codes.get(problem.status, _UNAVAILABLE)
    kind = "application/grpc"
    return {"Content-Type": kind, "grpc-status": status, "grpc-message": problem.detail}


def _quoted(file: Path) -> str:
    return re.sub(r"([\\ '\"#])", r"\\\1", str(file))
