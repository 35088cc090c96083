"""Patch of uvicorn's HTTP protocol: an answer leaves its replica whole or not at all.

Ray Serve answers through uvicorn, which writes an answer's head and its body apart. A replica
killed -9 between the two leaves a head without a body: HAProxy has passed it on and can no longer
ask another replica, and the client gets a torn answer. Here the head waits for the body and both
leave in one write. Before that write nothing was sent, so HAProxy asks again (``empty-response``).

Three cases are left: an answer larger than what the kernel takes at once (megabytes, on one
machine), one that its app sends piece by piece (the page ``/docs``), and the death of HAProxy.

This follows the source of the uvicorn release named below. When another one is installed, a test
fails: read ``httptools_impl`` again, then move the constant.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

UVICORN_VERSION = "0.54.0"
"""The release in which these private parts were read."""


def install_atomic_response() -> None:
    """Give every uvicorn server that this process opens from now on the protocol below."""
    protocol = f"{__name__}:{AtomicResponseProtocol.__name__}"
    uvicorn.config.HTTP_PROTOCOLS["auto"] = protocol


class AtomicResponseProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a transport that keeps a head until the body is there."""

    _buffer: _HeadBuffer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the loop."""
        self._buffer = _HeadBuffer(transport, self)
        super().connection_made(self._buffer)  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """Called by uvicorn after the last body; an answer to HEAD has none."""
        self._buffer.release()
        super().on_response_complete()


class _HeadBuffer:
    """A transport that holds the first write of an answer back, to join it with the next one."""

    def __init__(self, transport: asyncio.Transport, protocol: AtomicResponseProtocol) -> None:
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
        joined, self._head = self._head + data, b""
        self._transport.write(joined)

    def release(self) -> None:
        """Write a head that no body follows."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        # A head whose body never came is worth less than nothing: nobody would ask again.
        if self._begun is not None and self._begun.response_complete:
            self.release()
        self._transport.close()
