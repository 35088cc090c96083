"""A small OTLP collector over HTTP, and what a test asks of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_SECONDS = 240.0


class Span:
    """One span as it came over the wire."""

    def __init__(self, service: str, span: Any) -> None:
        self.service = service
        self.name: str = span.name
        self.ids = (span.trace_id.hex(), span.span_id.hex())
        self.parent = (span.trace_id.hex(), span.parent_span_id.hex())
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.began_ns: int = span.start_time_unix_nano
        self.ended_ns: int = span.end_time_unix_nano
        self.attributes = {
            each.key: getattr(each.value, each.value.WhichOneof("value"))
            for each in span.attributes
        }


class Collector:
    """``spans`` and the ``headers`` of requests grow while it runs; ``status`` is its answer, which
    waits until it is ``free``; ``asked`` is set with the first request."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.asked, self.free = threading.Event(), threading.Event()
        self.free.set()

    def take(self, raw: bytes, headers: dict[str, str]) -> int:
        self.headers.append(headers)
        self.asked.set()
        self.free.wait(WAIT_SECONDS)
        if self.status != 200:
            return self.status
        for resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
            of = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [Span(of["service.name"], span) for span in scope.spans]
        return 200

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def wait(self, name: str, number: int = 1) -> list[Span]:
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            if len(found := self.named(name)) >= number:
                return found
            time.sleep(0.05)
        names = sorted({span.name for span in self.spans})
        raise AssertionError(f"no {number} spans {name!r}; there are {names}")


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector and its address."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(collector.take(raw, dict(self.headers)))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answering = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        answering.start()
        try:
            yield collector, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            answering.join()
