"""Events into the log as fast as it takes them: what a backfill sends with.

The public producer costs some 100 µs an event, which months of history would wait for. This one is
librdkafka's. What it sends was checked as the file was read; it is encoded in the same way, and
goes to the same partition (murmur2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import msgspec
from confluent_kafka import KafkaException, Producer

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.rights import missing_right
from everfresh.adapters.kafka.security.options import librdkafka_options
from everfresh.contracts.errors import DeliveryError
from everfresh.contracts.event import Event, user_key
from everfresh.contracts.event_codec import event_headers
from everfresh.contracts.kafka.security import Brokers

_SOURCE = b"everfresh/backfill"
_QUEUED = 50_000
_DELIVERY_S = 120.0
_POLL_EVERY = 512
_POLL_S = 0.1
_DENIED = ("Topic authorization failed", "Cluster authorization failed")


class BulkProducer:
    """Idempotent, acknowledged by all replicas, in order per user, compressed (lz4).

    ``on_delivered`` is called with partition and offset of each event that has reached the log,
    within :meth:`send` and :meth:`flush`. The constructor raises ``Unreachable`` where no broker
    answers, the others :class:`DeliveryError` once an event did not reach the log.
    """

    def __init__(
        self, brokers: Brokers, topic: str, longest: int, on_delivered: Callable[[int, int], None]
    ) -> None:
        """``longest`` is the longest event value, in bytes."""
        require_broker(brokers)
        self._brokers = brokers
        self._topic = topic
        self._on_delivered = on_delivered
        self._encode = msgspec.json.Encoder().encode
        self._sent = 0
        self._failed, self._cause = 0, ""
        self._producer = Producer(
            {
                **librdkafka_options(brokers),
                "client.id": "everfresh-backfill",
                "enable.idempotence": True,
                # The same partition as Kafka's own clients choose (law 1).
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 20,
                "message.timeout.ms": int(_DELIVERY_S * 1000),
                "message.max.bytes": max(1_048_576, longest + 65_536),
                "queue.buffering.max.messages": _QUEUED,
                "allow.auto.create.topics": False,
                "log_level": 0,
            }
        )

    def send(self, event: Event) -> None:
        """Queue one event; waits while many are under way."""
        value, key = self._encode(event), user_key(event.user_id)
        headers: list[tuple[str, str | bytes | None]] = [*event_headers(event, _SOURCE)]
        while True:
            self._raise_failures()
            try:
                self._producer.produce(
                    self._topic, value, key, headers=headers, on_delivery=self._delivered
                )
                break
            except BufferError:
                self._hear(lambda: self._producer.poll(_POLL_S))
            except KafkaException as error:
                self._fail(error.args[0])
        self._sent += 1
        if self._sent % _POLL_EVERY == 0:
            self._hear(lambda: self._producer.poll(0))

    def flush(self) -> None:
        """Return once everything queued is in the log."""
        if self._hear(lambda: self._producer.flush(_DELIVERY_S + 5.0)):
            self._fail("no answer")
        self._raise_failures()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give up what is not delivered; the marks do not count it."""
        self._producer.purge()
        self._hear(lambda: self._producer.flush(1.0))

    def _hear(self, wait: Callable[[], int]) -> int:
        """Have ``_delivered`` called. An error that is fatal is raised amid that, not passed to it:
        so where an idempotent producer lacks a right."""
        try:
            return wait()
        except KafkaException as error:
            self._fail(error.args[0])
            return 0

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._fail(error)
        else:
            self._on_delivered(message.partition(), message.offset())

    def _fail(self, error: Any) -> None:
        """The first cause counts. As text: an error of librdkafka's has no truth value."""
        self._failed += 1
        self._cause = self._cause or str(error)

    def _raise_failures(self) -> None:
        if not self._failed:
            return
        if any(word in self._cause for word in _DENIED):
            advice = missing_right(self._brokers, f"Write on topic {self._topic}")
        else:
            advice = "check the broker's log"
        raise DeliveryError(
            f"{self._failed} events did not reach topic {self._topic} at {self._brokers}: "
            f"{self._cause}; {advice}, then run the command again: it goes on where it stopped"
        )
