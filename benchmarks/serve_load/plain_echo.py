"""The echo as a plain ASGI application: what ``anchor.py`` runs on uvicorn."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without looking, as the echo on Ray Serve does: two letters."""
    if scope["type"] == "http":
        Request(scope, receive)
        await PlainTextResponse("ok")(scope, receive, send)
