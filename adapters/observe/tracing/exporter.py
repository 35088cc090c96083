"""The OTLP exporter, held to one line for an outage, and to none with a secret in it.

The library retries by itself, in a thread of its own, and drops what does not fit in its queue. It
logs a line for each attempt; what it says is taken from its loggers, and told once.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk import _shared_internal
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.util import re as header_parser

_LOG = logging.getLogger("everfresh.tracing")
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TOLD = 300
"""Characters of an error that are told."""


class Said(logging.Filter):
    """Takes what a logger says and lets none of it through; ``last`` is the last of it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by logging for each record."""
        self.last = record.getMessage()
        return False


class TerseExporter(SpanExporter):
    """Passes spans on to ``exporter``; an outage, and its end, are one line each."""

    def __init__(self, exporter: SpanExporter, said: Said, queue: Said) -> None:
        """``said`` is what the exporter says, ``queue`` what the queue before it says."""
        self._exporter = exporter
        self._said = said
        self._queue = queue
        self._away = False
        self._lost = 0
        self._telling = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Called by the SDK's thread."""
        result = self._exporter.export(spans)
        with self._telling:
            if result is not SpanExportResult.SUCCESS:
                if not self._away:
                    _LOG.warning(
                        "spans cannot be sent to %s: %s; they are dropped until it takes them, and "
                        "all else goes on; see OTEL_EXPORTER_OTLP_ENDPOINT",
                        endpoint(),
                        scrubbed(self._said.last),
                    )
                self._away, self._lost = True, self._lost + len(spans)
            elif self._away:
                _LOG.info("spans are sent again; at least %d were dropped", self._lost)
                self._away, self._lost, self._queue.last = False, 0, ""
            elif self._queue.last:
                _LOG.warning(
                    "spans come faster than %s takes them, and some were dropped; raise "
                    "OTEL_BSP_MAX_QUEUE_SIZE, or sample fewer (OTEL_TRACES_SAMPLER)",
                    endpoint(),
                )
                self._queue.last = ""
        return result

    def shutdown(self) -> None:
        """Called by the SDK."""
        self._exporter.shutdown()
        # Of two filters that let nothing through, the second would hear nothing.
        logging.getLogger(trace_exporter.__name__).removeFilter(self._said)
        logging.getLogger(_shared_internal.__name__).removeFilter(self._queue)


def open_exporter() -> SpanExporter:
    """By the standard variables; ``ValueError`` and the like where one cannot be.

    The library would log a header that it cannot read, with its secret.
    """
    _require_urls()
    parsing = Said()
    parser = logging.getLogger(header_parser.__name__)
    parser.addFilter(parsing)
    try:
        exporter = trace_exporter.OTLPSpanExporter()
    finally:
        parser.removeFilter(parsing)
    if parsing.last:
        _LOG.warning(
            "a part of OTEL_EXPORTER_OTLP_HEADERS is left out: name=value was expected, with a "
            "comma between two and values percent-encoded"
        )
    said, queue = Said(), Said()
    logging.getLogger(trace_exporter.__name__).addFilter(said)
    # Before the library's own filter, which lets the same words through once in 20 s.
    logging.getLogger(_shared_internal.__name__).filters.insert(0, queue)
    return TerseExporter(exporter, said, queue)


def _require_urls() -> None:
    for name in _ENDPOINTS:
        try:
            urlsplit(os.environ.get(name, ""))
        except ValueError:  # its text may repeat a password
            raise ValueError(f"{name} is no URL, such as http://localhost:4318") from None


def endpoint() -> str:
    """Where spans go, without user and password."""
    url = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    parts = urlsplit(url or "http://localhost:4318")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def scrubbed(said: str) -> str:
    """What the library said, without what may stand in a header or before a host."""
    if "header" in said.lower():
        return "a header of OTEL_EXPORTER_OTLP_HEADERS cannot be sent"
    secrets = [os.environ.get(name, "") for name in _HEADERS]
    values = [part.partition("=")[2].strip() for text in secrets for part in text.split(",")]
    users = [urlsplit(os.environ.get(name, "")).netloc.rpartition("@")[0] for name in _ENDPOINTS]
    for secret in sorted({*values, *map(unquote, values), *users} - {""}, key=len, reverse=True):
        said = said.replace(secret, "…")
    return said[:_TOLD] or "it does not answer"
