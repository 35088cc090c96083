"""Patch of uvicorn's HTTP protocol: answers leave whole or not at all, and connections end.

Ray Serve answers through uvicorn, which writes an answer's head and its body apart. A replica
killed -9 between the two leaves a head without a body: HAProxy has passed it on and can no longer
ask another replica, and the client gets a torn answer. Here the head waits for the body and both
leave in one write. Before that write nothing was sent, so HAProxy asks again (``empty-response``).

Three cases are left: an answer larger than what the kernel takes at once (megabytes, on one
machine), one that its app sends piece by piece (the page ``/docs``), and the death of HAProxy.

uvicorn waits without end for a request that has begun, or that never begins, and for a client to
take its answer; it also keeps a head of any length. HAProxy hands on whole requests alone, no
longer than its buffer. So what does not arrive whole soon, or is longer, did not come through it,
and its connection is ended.

This follows the source of the uvicorn release named below. When another one is installed, a test
fails: read ``httptools_impl`` again, then move the constant.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

UVICORN_VERSION = "0.54.0"
"""The release in which these private parts were read."""

ARRIVAL_S = 10.0
"""For a request to arrive whole, and for a client to take some of its answer."""

_LONGEST = int(os.environ.get("RAY_SERVE_HAPROXY_TUNE_BUFSIZE", "1048576"))


def install_atomic_response() -> None:
    """Give every uvicorn server that this process opens from now on the protocol below."""
    protocol = f"{__name__}:{AtomicResponseProtocol.__name__}"
    uvicorn.config.HTTP_PROTOCOLS["auto"] = protocol


class AtomicResponseProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a transport that keeps a head until the body is there."""

    _buffer: _HeadBuffer
    _whole = False
    _arrived = 0
    _arrival: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the loop."""
        self._buffer = _HeadBuffer(transport, self)
        super().connection_made(self._buffer)  # type: ignore[arg-type]
        # By the kernel, also for what is still to be written as the connection is closed.
        transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * ARRIVAL_S)
        )
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        super().data_received(data)
        # What follows is a new request, or nothing that begins one.
        whole, self._whole = self._whole, False
        if whole:
            self._arrived = 0
            self._stop_expecting()
            return
        self._arrived += len(data)
        if self._arrived > _LONGEST:
            self._buffer.abort()
        elif self._arrival is None:
            self._expect_request()

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of a request."""
        self._whole = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Called by the parser after the last byte of a request."""
        self._whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Called by uvicorn after the last body; an answer to HEAD has none."""
        self._buffer.release()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._stop_expecting()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        self._arrival = self.loop.call_later(ARRIVAL_S, self._buffer.abort)

    def _stop_expecting(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None


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
