"""The HTTP door of one replica: an ASGI app of few layers, because each costs every request.

A request is routed by its path, read whole, decoded by msgspec, answered and encoded; the
framework behind ``/docs`` sees none of it. What is documented there is in ``serving.http.openapi``.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec

from everfresh.contracts.ports import Clock
from everfresh.contracts.settings import Settings
from everfresh.serving.http import ofrep
from everfresh.serving.http.ofrep import Ofrep
from everfresh.serving.http.openapi import build_docs
from everfresh.serving.metrics import Measure, nobody
from everfresh.serving.recommend import Answer
from everfresh.serving.replica import Replica
from everfresh.serving.requests import bodies, problems
from everfresh.serving.requests.admission import Admission, Slot
from everfresh.serving.requests.bodies import Limits
from everfresh.serving.requests.own_writes import OwnWrites
from everfresh.serving.shared_pass import SharedPass
from everfresh.serving.versions.holder import LoadedVersion

if TYPE_CHECKING:
    from everfresh.serving.spans import ReplicaSpans

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Reply = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers, body."""

_ENCODER = msgspec.json.Encoder()


class HttpApp:
    """The ASGI app of one replica."""

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
        self._token = settings.serving.admin_token.get_secret_value().encode()
        self._docs = build_docs(self._limits, serving.route_prefix)
        self._ofrep = Ofrep(replica.definitions)
        self._name = (b"x-everfresh-replica", replica.name.encode())
        self._pass = SharedPass()
        self._posts: dict[str, Callable[[bytes, Slot], Awaitable[Reply]]] = {
            "/v1/recommend": self._recommend,
            "/v1/score": self._score,
            "/v1/similar": self._similar,
        }
        self._gets: dict[str, Callable[[Scope], Reply]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/v1/version": self._version,
            "/v1/admin/status": self._admin_status,
        }
        self._routes = {path: path.rpartition("/")[2] for path in (*self._posts, *self._gets)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error is a problem document, none a traceback.

        All but those for the documentation are measured.
        """
        path = _path(scope)
        if scope["type"] != "http" or path.startswith(("/docs", "/openapi.json")):
            await self._docs(scope, receive, send)
            return
        began, problem = time.perf_counter(), ""
        try:
            status, headers, body = await self._reply(path, scope, receive)
        except Exception as error:
            ended_by = problems.problem_of(error)
            problem = ended_by.kind
            status, headers, body = _problem_reply(ended_by)
        route = "ofrep" if _of_ofrep(path) else self._routes.get(path, "other")
        took_s = time.perf_counter() - began
        self._measure("http", route, str(status), problem, took_s)
        if self._spans is not None:
            known = path if path in self._routes else ""
            self._spans.http(scope["headers"], scope["method"], known, status, problem, took_s)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, path: str, scope: Scope, receive: Receive) -> Reply:
        method = scope["method"]
        post = self._posts.get(path)
        if _of_ofrep(path):

            async def post(raw: bytes, _: Slot) -> Reply:
                return self._ofrep(path, scope["headers"], raw)

        if post is not None:
            if method != "POST":
                raise problems.method_not_allowed(method, ["POST"])
            try:
                with self._admission.slot() as slot:
                    raw = await self._read(receive)
                    slot.require_in_time()
                    return await post(raw, slot)
            except problems.StateBehind as behind:
                await self._own_writes.wait(behind)
            with self._admission.slot() as slot:
                return await post(raw, slot)
        get = self._gets.get(path)
        if get is None:
            raise problems.not_found(path)
        # uvicorn sends no body in answer to HEAD.
        if method not in ("GET", "HEAD"):
            raise problems.method_not_allowed(method, ["GET", "HEAD"])
        return get(scope)

    async def _read(self, receive: Receive) -> bytes:
        raw: bytes = b""
        limit = self._limits.body_bytes
        try:
            async with asyncio.timeout(self._admission.timeout_ms / 1000):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise problems.body_too_slow(self._admission.timeout_ms)
                    raw += message.get("body", b"")
                    if len(raw) > limit:
                        raise problems.too_large(limit)
                    if not message.get("more_body", False):
                        return raw
        except TimeoutError:
            raise problems.body_too_slow(self._admission.timeout_ms) from None

    async def _recommend(self, raw: bytes, slot: Slot) -> Reply:
        request = bodies.parse_recommend(raw, self._limits, self._clock())
        self._own_writes.require(request)
        request = await self._replica.assigned(request)
        answer = await self._pass.made(self._replica.answering(request), slot)
        if answer is None:
            raise problems.no_version_yet()
        return self._assigned(answer)

    async def _score(self, raw: bytes, _: Slot) -> Reply:
        request = bodies.parse_score(raw, self._limits, self._clock())
        self._own_writes.require(request)
        request = await self._replica.assigned(request)
        answer = self._replica.score(request)
        if answer is None:
            raise problems.no_version_yet()
        return self._assigned(answer)

    async def _similar(self, raw: bytes, _: Slot) -> Reply:
        request = bodies.parse_similar(raw, self._limits)
        result = self._replica.similar(request)
        if result is None:
            raise problems.no_version_yet()
        loaded, answer = result
        if answer is None:
            raise problems.unknown_item(request.item_id, loaded.version)
        return self._versioned(answer, loaded.version)

    def _assigned(self, answer: Answer) -> Reply:
        reply = self._versioned(answer, answer.version)
        reply[1].append((b"x-everfresh-arm", answer.arm.encode()))
        if answer.experiment is not None:
            reply[1].append((b"x-everfresh-experiment", answer.experiment.encode()))
        return reply

    def _versioned(self, answer: Any, version: int) -> Reply:
        named = (b"x-everfresh-version", b"%d" % version)
        return 200, [_JSON, _NO_STORE, named, self._name], _ENCODER.encode(answer)

    def _healthz(self, _: Scope) -> Reply:
        return self._health("ok", self._replica.current())

    def _readyz(self, _: Scope) -> Reply:
        return self._health("ready", self._live())

    def _health(self, status: str, loaded: LoadedVersion | None) -> Reply:
        """What is live and how stale it is; nulls before the first version, or the first look."""
        now, read_ms = self._clock(), self._replica.follower().read_ms
        return _json(
            {
                "status": status,
                "replica": self._replica.name,
                "version": loaded.version if loaded else None,
                "epoch": loaded.epoch if loaded else None,
                "version_age_ms": now - loaded.manifest.created_ms if loaded else None,
                "pointer_age_ms": None if read_ms is None else now - read_ms,
                "state_age_ms": self._replica.state_age_ms(),
            }
        )

    def _version(self, _: Scope) -> Reply:
        loaded, follower = self._live(), self._replica.follower()
        read_ms = follower.read_ms
        return _json(
            {
                "version": loaded.version,
                "epoch": loaded.epoch,
                "live_since_ms": loaded.live_since_ms,
                "window": loaded.manifest.label,
                "trained_through": loaded.manifest.trained_through,
                "items": loaded.manifest.items,
                "replica": self._replica.name,
                "pointed_version": follower.pointer.version if follower.pointer else None,
                "pointer_age_ms": None if read_ms is None else self._clock() - read_ms,
                "reason": follower.reason,
            }
        )

    def _admin_status(self, scope: Scope) -> Reply:
        self._require_token(scope)
        return _json(msgspec.to_builtins(self._replica.status()))

    def _require_token(self, scope: Scope) -> None:
        """``Problem`` unless the request bears the token. Takes as long for any wrong one."""
        given = dict(scope["headers"]).get(b"authorization", b"")
        # The scheme is Bearer in any case (RFC 9110, section 11.1); spaces follow it.
        scheme, _, token = given.partition(b" ")
        right = hmac.compare_digest(token.strip(b" "), self._token)
        if not self._token or scheme.lower() != b"bearer" or not right:
            raise problems.not_admitted(configured=bool(self._token))

    def _live(self) -> LoadedVersion:
        loaded = self._replica.current()
        if loaded is None:
            raise problems.no_version_yet()
        return loaded


_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")


def _path(scope: Scope) -> str:
    """The path behind ``serving.route_prefix``; Ray names that as the root, unless it is ``/``."""
    path: str = scope.get("path", "")
    return path.removeprefix(scope.get("root_path", ""))


def _of_ofrep(path: str) -> bool:
    return path == ofrep.PREFIX or path.startswith(f"{ofrep.PREFIX}/")


def _json(content: Mapping[str, Any]) -> Reply:
    return 200, [_JSON, _NO_STORE], _ENCODER.encode(content)


def _problem_reply(problem: problems.Problem) -> Reply:
    headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return int(problem.status), headers, problem.document()
