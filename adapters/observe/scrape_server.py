"""The HTTP server of one small endpoint, such as metrics. No connection outlives its time.

``prometheus_client``'s own waits without end for a request, and for an answer to be taken, with a
thread for each connection.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

CONNECTION_S = 10.0
"""For one connection, from its opening to its end; a scrape takes milliseconds."""


class ScrapeServer(ThreadingMixIn, WSGIServer):
    """Answers each scrape in a thread of its own."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called by a thread whose client went away in the middle of an answer."""


class _ScrapeServer6(ScrapeServer):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        self._end = threading.Timer(CONNECTION_S, self._give_up)
        self._end.daemon = True
        self._end.start()
        super().setup()

    def finish(self) -> None:
        self._end.cancel()
        super().finish()

    def _give_up(self) -> None:
        # Whatever waits for this connection goes on, and finds it closed.
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """A scrape leaves no line."""


def start_scrape_server(host: str, port: int, registry: CollectorRegistry) -> ScrapeServer:
    """Offer the registry until ``shutdown``; ``OSError`` where the port cannot be taken."""
    return start_server(host, port, make_wsgi_app(registry), "metrics")


def start_server(host: str, port: int, app: Callable[..., Any], name: str) -> ScrapeServer:
    """Answer by a WSGI app, on a thread of that name, until ``shutdown``; ``OSError`` as above."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    kind = _ScrapeServer6 if family == socket.AF_INET6 else ScrapeServer
    server = make_server(host, port, app, kind, handler_class=_Handler)
    threading.Thread(target=server.serve_forever, name=name, daemon=True).start()
    return server
