"""A request's way through a replica of Serve, made short: counted, and handed to the app.

What Serve does with each request besides takes as long as a third of the answer (decision 15,
measurements): two tasks and a queue, by which a request ends when its client leaves; a semaphore; a
context for user code; metrics. Our app needs none of it. It bounds requests itself, and none of
them waits for long. The count stays, as a replica that is to end waits until it is zero.

This is a private part of Serve, of the release that :mod:`ray_patches` names.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from types import SimpleNamespace
from typing import Any

Scope = MutableMapping[str, Any]
Way = Callable[..., Awaitable[None]]

_OF_SERVE = ("/-/healthz", "/-/routes")
"""Paths that Serve answers itself."""


def shorten_requests() -> None:
    """For the process of a replica of ours, before its doors are open. Harmless twice."""
    replica: Any = importlib.import_module("ray.serve._private.replica")
    common: Any = importlib.import_module("ray.serve._private.common")
    whole = replica.Replica._direct_ingress_asgi
    if whole.__module__ != __name__:
        replica.Replica._direct_ingress_asgi = short_way(whole, common.RequestProtocol.HTTP)


def short_way(whole: Way, protocol: Any) -> Way:
    """The method of Serve's ``Replica`` that goes the ``whole`` way only where it must: for what is
    no request to the app, and where the app has an event loop of its own."""
    counted = SimpleNamespace(protocol=protocol, is_direct_ingress=True)

    async def answer(serve: Any, scope: Scope, receive: Any, send: Any) -> None:
        root, prefix = scope.get("root_path", ""), serve._route_prefix or ""
        path = scope.get("path", "")[len(root) :]
        elsewhere = serve._user_callable_wrapper._run_user_code_in_separate_thread
        ours = scope["type"] == "http" and path not in _OF_SERVE and path.startswith(prefix)
        if elsewhere or not ours:
            await whole(serve, scope, receive, send)
            return
        if prefix != "/":
            scope["root_path"] = root + prefix
        requests = serve._metrics_manager
        requests.inc_num_ongoing_requests(counted)
        try:
            await serve._user_callable_asgi_app(scope, receive, send)
        finally:
            requests.dec_num_ongoing_requests(counted)

    return answer
