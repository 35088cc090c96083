"""An answer leaves its replica whole or not at all. The only file here that names uvicorn.

Ray Serve answers through uvicorn, which writes an answer's head and its body apart. A replica
killed -9 between the two leaves a head without a body: HAProxy has passed it on and can no longer
ask another replica, and the client gets a torn answer. Here the head waits for the body and both
leave in one write. What came before it was nothing, so HAProxy asks again (``empty-response``).

What is left: an answer larger than what the kernel takes at once (megabytes, on one machine), one
that its app sends piece by piece (the page ``/docs``), and the death of HAProxy itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


def install() -> None:
    """Make it the protocol of every uvicorn server that this process opens from now on."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{WholeAnswers.__name__}"


class WholeAnswers(HttpToolsProtocol):
    """uvicorn's protocol over a transport that keeps a head until the body is there."""

    _whole: _HeadWaits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the loop."""
        self._whole = _HeadWaits(transport, self)
        super().connection_made(self._whole)  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """Called by uvicorn after the last body; an answer to HEAD has none."""
        self._whole.release()
        super().on_response_complete()


class _HeadWaits:
    """A transport that holds the first write of an answer back, to join it with the next one."""

    def __init__(self, transport: asyncio.Transport, protocol: WholeAnswers) -> None:
        self._transport = transport
        self._protocol = protocol
        self._begun: RequestResponseCycle | None = None
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        cycle = self._protocol.cycle
        # Before an answer begins uvicorn may write "100 Continue", which nothing follows.
        if cycle is not None and cycle.response_started and cycle is not self._begun:
            self._begun, self._head = cycle, data
            return
        whole, self._head = self._head + data, b""
        self._transport.write(whole)

    def release(self) -> None:
        """Write a head that no body follows."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        # A head whose body never came is worth less than nothing: nobody would ask again.
        if self._begun is not None and self._begun.response_complete:
            self.release()
        self._transport.close()
