"""``ReportSink`` on Kafka: sending queues a record and returns; failures are counted."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.rights import missing_right
from everfresh.adapters.kafka.security.options import python_options
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import ComponentStatus, WindowReport, encode_report
from everfresh.contracts.topics import REPORTS, STATUS, topic_name

MAX_PENDING_REPORTS = 20_000
"""How many records may wait for a broker. Further ones are dropped and counted as failed."""


_BLOCK_MS = 1_000
"""A sender waits for the library at most so long, which it need not once metadata is there."""
_PATIENCE_S = 10.0
"""For the first metadata: a busy machine takes its time to log in."""


class _Producer(KafkaProducer):  # type: ignore[misc]  # the library has no type hints
    """Closes even when the broker is gone. The library's ``close`` stops where its flush fails."""

    def flush(self, timeout: float | None = None) -> None:
        """As the library's, without the error: the caller looks at what is still pending."""
        with contextlib.suppress(KafkaTimeoutError):
            super().flush(timeout)


def _connect(brokers: Brokers, rights: Mapping[str, str], linger_ms: int) -> _Producer:
    """``rights``: the topics, and what to ask for where one of them is hidden."""
    require_broker(brokers)
    producer, topic = None, ""
    try:
        producer = _Producer(
            **python_options(brokers),
            linger_ms=linger_ms,
            max_block_ms=_BLOCK_MS,
            delivery_timeout_ms=30_000,
            request_timeout_ms=10_000,
            allow_auto_create_topics=False,
        )
        # Topic metadata is fetched here, so a later send need not wait for it.
        until = time.monotonic() + _PATIENCE_S
        for topic in rights:
            _fetch_metadata(producer, topic, until)
    except TopicAuthorizationFailedError:
        _end(producer)
        raise Unreachable(missing_right(brokers, f"{rights[topic]} on topic {topic}")) from None
    except KafkaError as error:
        _end(producer)
        raise Unreachable(
            f"nothing can be written to {', '.join(rights)} at {brokers}: {error}; "
            "check that the broker is up and that `everfresh up` created the topics"
        ) from None
    return producer


def _fetch_metadata(producer: _Producer, topic: str, until: float) -> None:
    while True:
        try:
            producer.partitions_for(topic)
            return
        except KafkaTimeoutError:
            if time.monotonic() >= until:
                raise


def _end(producer: _Producer | None) -> None:
    if producer is not None:
        producer.close(timeout=0)


class _NonBlockingProducer:
    """A producer that never makes its caller wait. Thread-safe."""

    def __init__(self, brokers: Brokers, rights: Mapping[str, str], linger_ms: int) -> None:
        self._producer = _connect(brokers, rights, linger_ms)
        self._lock = threading.Lock()
        self._pending = 0
        self._failed = 0
        self._closed = False

    def send(self, topic: str, key: bytes, value: bytes) -> None:
        with self._lock:
            if self._closed or self._pending >= MAX_PENDING_REPORTS:
                self._failed += 1
                return
            self._pending += 1
        try:
            future = self._producer.send(topic, value, key=key)
        except KafkaError:
            self._settle(failed=True)
            return
        future.add_callback(lambda _: self._settle(failed=False))
        future.add_errback(lambda _: self._settle(failed=True))

    def failed(self) -> int:
        with self._lock:
            return self._failed

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is delivered or failed; False where time ran out before."""
        self._producer.flush(timeout_s)
        with self._lock:
            return self._pending == 0

    def close(self, timeout_s: float) -> None:
        self.flush(timeout_s)
        with self._lock:
            # Later reports of these records must not count them a second time.
            self._closed = True
            self._failed += self._pending
            self._pending = 0
        self._producer.close(timeout=0)

    def _settle(self, *, failed: bool) -> None:
        with self._lock:
            if not self._closed:
                self._pending -= 1
                self._failed += failed


class KafkaReportSink:
    """Writes window reports (key: label) and status (key: component). Thread-safe.

    With ``windows=False`` it writes status alone, and Describe on ``reports`` is enough.
    """

    def __init__(self, brokers: Brokers, topic_prefix: str, windows: bool = True) -> None:
        self._reports = topic_name(topic_prefix, REPORTS)
        self._status = topic_name(topic_prefix, STATUS)
        rights = {self._reports: "Write" if windows else "Describe", self._status: "Write"}
        self._producer = _NonBlockingProducer(brokers, rights, linger_ms=0)

    def window(self, report: WindowReport) -> None:
        """Queue one window report."""
        self._producer.send(self._reports, str(report.label).encode(), encode_report(report))

    def status(self, status: ComponentStatus) -> None:
        """Queue one status."""
        self._producer.send(self._status, status.component.encode(), encode_report(status))

    def failed(self) -> int:
        """How many records could not be delivered since the start."""
        return self._producer.failed()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait for what is queued; False where time ran out before."""
        return self._producer.flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush, then end the connection."""
        self._producer.close(timeout_s)
