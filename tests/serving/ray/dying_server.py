"""``SOCKET``: answers as Ray Serve's replicas do, and can die in the middle of an answer.

Ray itself reads the hook and opens the server, so that this is what a replica's process does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from everfresh.serving.ray.haproxy import HOOK
from everfresh.serving.ray.ray_patches import MESSAGE_BYTES

HOOKED, HURRIED = "hooked", "hurried"
LONGEST, LARGE = 100_000, 50_000_000


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was sent; ``/die`` ends this process after the head.

    To ``/unread`` without looking at what was sent, and to ``/large`` with :data:`LARGE` bytes.
    """
    if scope["path"] == "/unread":
        body = b""
    else:
        body = bytes(LARGE) if scope["path"] == "/large" else (await receive())["body"]
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"%d" % len(body))],
        }
    )
    if scope["path"] == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if scope["path"] == "/fail":
        raise RuntimeError("in the middle of an answer")
    await send({"type": "http.response.body", "body": body})


async def serve(port: int) -> None:
    """Open the server as a replica does, and stay."""
    from ray.serve._private.http_util import (  # noqa: PLC0415 - after the environment is set
        configure_http_middlewares,
        start_asgi_http_server,
    )
    from ray.serve.config import HTTPOptions  # noqa: PLC0415 - as above

    options = configure_http_middlewares(HTTPOptions(host="127.0.0.1", port=port))
    loop = asyncio.get_running_loop()
    task, _ = await start_asgi_http_server(app, options, event_loop=loop)
    await task


if __name__ == "__main__":
    if sys.argv[2] in (HOOKED, HURRIED):
        os.environ["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] = HOOK
        os.environ[MESSAGE_BYTES] = "1000"
    if sys.argv[2] == HURRIED:
        os.environ["RAY_SERVE_HAPROXY_TUNE_BUFSIZE"] = str(LONGEST)
        from everfresh.serving.ray import uvicorn_patch

        uvicorn_patch.ARRIVAL_S = 0.3
    asyncio.run(serve(int(sys.argv[1])))
