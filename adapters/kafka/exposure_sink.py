"""``ExposureSink`` on Kafka by librdkafka: one record per answer, so its cost is every answer's.

kafka-python, which the other sinks use, takes 250 µs of a processor per record at the rate of a
busy replica, more than the answer itself; librdkafka takes a few.
"""

from __future__ import annotations

import threading
from typing import Any

from confluent_kafka import KafkaException, Producer

from everfresh.adapters.kafka.admin import require_listener
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.event import user_key
from everfresh.contracts.exposure import Exposure, encode_exposure
from everfresh.contracts.topics import EXPOSURES, topic_name

MAX_PENDING = 20_000
"""More records than this waiting for a broker are dropped, and counted as failed."""

LINGER_MS = 200
"""How long a record waits for others; a replica that is killed loses those of so long."""

_LOOK_S = 0.1


class KafkaExposureSink:
    """Writes exposures, keyed by user, to the ``exposures`` topic. Thread-safe.

    ``Unreachable`` at the start where broker or topic is not there.
    """

    def __init__(self, bootstrap_servers: str, topic_prefix: str) -> None:
        self._topic = topic_name(topic_prefix, EXPOSURES)
        self._lock = threading.Lock()
        self._failed = 0
        self._closed = False
        self._ended = threading.Event()
        self._producer = _connect(bootstrap_servers, self._topic)
        self._thread = threading.Thread(target=self._settle, name="exposures", daemon=True)
        self._thread.start()

    def send(self, exposure: Exposure) -> None:
        """Queue one exposure; it is on its way within :data:`LINGER_MS`."""
        key, value = user_key(exposure.user_id), encode_exposure(exposure)
        with self._lock:
            if self._closed or len(self._producer) >= MAX_PENDING:
                self._failed += 1
                return
        try:
            self._producer.produce(self._topic, value, key, on_delivery=self._told)
        except (BufferError, KafkaException) as error:
            self._told(error, None)

    def failed(self) -> int:
        """How many exposures could not be delivered since the start."""
        with self._lock:
            return self._failed

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait for what is queued; False where time ran out before."""
        self._producer.flush(timeout_s)
        return len(self._producer) == 0

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush, then end the connection; what is still undelivered counts as failed."""
        self.flush(timeout_s)
        with self._lock:
            # What is told of these later is not counted a second time.
            self._closed = True
            self._failed += len(self._producer)
        self._ended.set()
        self._thread.join()
        self._producer.purge()
        self._producer.flush(0)

    def _settle(self) -> None:
        # librdkafka keeps what failed for whoever asks.
        while not self._ended.wait(_LOOK_S):
            self._producer.poll(0)

    def _told(self, error: Any, _: Any) -> None:
        with self._lock:
            if not self._closed:
                self._failed += error is not None


def _connect(bootstrap_servers: str, topic: str) -> Producer:
    require_listener(bootstrap_servers)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            # The same partition as Kafka's own clients choose (law 1).
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            # A batch costs the broker as much as many records do.
            "linger.ms": LINGER_MS,
            # Deliveries need no word; only what failed is told.
            "delivery.report.only.error": True,
            "message.timeout.ms": 30_000,
            "queue.buffering.max.messages": 2 * MAX_PENDING,
            "allow.auto.create.topics": False,
            # What fails is counted; librdkafka would write to stderr.
            "log_level": 0,
        }
    )
    said = ""
    try:
        # Of all topics: asking for one by name would have the broker make it.
        if topic in producer.list_topics(timeout=10.0).topics:
            return producer
    except KafkaException as error:
        said = f": {error}"
    raise Unreachable(
        f"nothing can be written to {topic} at {bootstrap_servers}{said}; "
        "check that the broker is up and that `everfresh up` created the topics"
    )
