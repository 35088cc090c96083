"""``ExposureSink`` on Kafka, by librdkafka because it writes one record per recommendation.

At the rate of a busy replica kafka-python, which the other sinks use, takes 250 µs of a processor
per record. That is more than the recommendation itself costs. librdkafka takes a few µs.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from confluent_kafka import KafkaException, Producer
from kafka.errors import KafkaError

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.rights import require_seen
from everfresh.adapters.kafka.security.options import librdkafka_options
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.event import user_key
from everfresh.contracts.exposure import Exposure, encode_exposure
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import EXPOSURES, topic_name

MAX_PENDING_EXPOSURES = 20_000
"""How many records may wait for a broker. Further ones are dropped and counted as failed."""

LINGER_MS = 200
"""How long a record waits for others. A replica that is killed loses its last records, at most
this long ago."""

_POLL_S = 0.1


class KafkaExposureSink:
    """Writes exposures, keyed by user, to the ``exposures`` topic. Thread-safe.

    The constructor raises ``Unreachable`` where the broker or the topic is missing.
    """

    def __init__(self, brokers: Brokers, topic_prefix: str) -> None:
        self._topic = topic_name(topic_prefix, EXPOSURES)
        self._lock = threading.Lock()
        self._failed = 0
        self._closed = False
        self._ended = threading.Event()
        self._producer = _connect(brokers, self._topic)
        self._thread = threading.Thread(target=self._poll_failures, name="exposures", daemon=True)
        self._thread.start()

    def send(self, exposure: Exposure) -> None:
        """Queue one exposure; it is sent within :data:`LINGER_MS`."""
        key, value = user_key(exposure.user_id), encode_exposure(exposure)
        with self._lock:
            if self._closed or len(self._producer) >= MAX_PENDING_EXPOSURES:
                self._failed += 1
                return
        try:
            self._producer.produce(self._topic, value, key, on_delivery=self._on_delivery)
        except (BufferError, KafkaException) as error:
            self._on_delivery(error, None)

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
            # Later reports of these records must not count them a second time.
            self._closed = True
            self._failed += len(self._producer)
        self._ended.set()
        self._thread.join()
        self._producer.purge()
        self._producer.flush(0)

    def _poll_failures(self) -> None:
        # librdkafka calls ``_on_delivery`` only from within a poll.
        while not self._ended.wait(_POLL_S):
            self._producer.poll(0)

    def _on_delivery(self, error: Any, _: Any) -> None:
        with self._lock:
            if not self._closed:
                self._failed += error is not None


def _connect(brokers: Brokers, topic: str) -> Producer:
    require_broker(brokers)
    producer = Producer(
        {
            **librdkafka_options(brokers),
            # The same partition as Kafka's own clients choose (law 1).
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            # A batch costs the broker as much as many records do.
            "linger.ms": LINGER_MS,
            # Only failed deliveries are reported back.
            "delivery.report.only.error": True,
            "message.timeout.ms": 30_000,
            "queue.buffering.max.messages": 2 * MAX_PENDING_EXPOSURES,
            "allow.auto.create.topics": False,
            # Failures are counted here; librdkafka would also write them to stderr.
            "log_level": 0,
        }
    )
    reason = ""
    try:
        # Lists all topics: asking for one by name would make the broker create it.
        if topic in producer.list_topics(timeout=10.0).topics:
            return producer
    except KafkaException as error:
        reason = f": {error}"
    else:
        with contextlib.suppress(KafkaError), connect_admin(brokers) as admin:
            require_seen(admin, brokers, topic)
    raise Unreachable(
        f"nothing can be written to {topic} at {brokers}{reason}; "
        "check that the broker is up and that `everfresh up` created the topics"
    )
