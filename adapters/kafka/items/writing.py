"""``ItemLog`` on Kafka, by librdkafka because a catalogue is many records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaException, Producer

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.adapters.kafka.consumers import Closing
from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.rights import missing_right, require_seen
from everfresh.adapters.kafka.security.options import librdkafka_options
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.items.record import ItemChange, encode_item, item_key
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import ITEMS, topic_name

_WAIT_S = 30.0
_POLL_S = 0.1
_DENIED = ("Topic authorization failed", "Cluster authorization failed")


class KafkaItemLog(Closing):
    """See the port. The constructor raises ``Unreachable`` where no broker answers."""

    def __init__(self, brokers: Brokers, topic_prefix: str) -> None:
        require_broker(brokers)
        self._brokers = brokers
        self._topic = topic_name(topic_prefix, ITEMS)
        self._end = 0
        self._failed: str | None = None
        self._producer = Producer(
            {
                **librdkafka_options(brokers),
                # A record that comes twice says the same twice. Idempotence would only add a fatal
                # error where a right is missing, which the library raises amid its callbacks.
                "acks": "all",
                "max.in.flight.requests.per.connection": 1,
                "linger.ms": 20,
                "message.timeout.ms": int(_WAIT_S * 1000),
                "queue.buffering.max.messages": 20_000,
                "allow.auto.create.topics": False,
                "log_level": 0,
            }
        )

    def write(self, changes: Iterable[ItemChange]) -> int:
        """See the port."""
        for change in changes:
            value = None if change.item is None else encode_item(change.item)
            self._send(item_key(change.id), value)
        self._producer.flush(_WAIT_S + 5.0)
        if len(self._producer):
            self._fail("no answer")
        self._require_written()
        return self._end

    def close(self) -> None:
        """End the connection; what is not delivered by now is not sent any more."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _send(self, key: bytes, value: bytes | None) -> None:
        while True:
            self._require_written()
            try:
                self._producer.produce(self._topic, value, key, 0, on_delivery=self._on_delivery)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(_POLL_S)
            except KafkaException as error:
                self._fail(error.args[0])

    def _require_written(self) -> None:
        if self._failed is None:
            return
        if any(word in self._failed for word in _DENIED):
            raise Unreachable(missing_right(self._brokers, f"Write on topic {self._topic}"))
        with connect_admin(self._brokers) as admin:
            require_seen(admin, self._brokers, self._topic)
        raise Unreachable(
            f"{self._topic} at {self._brokers} does not accept items ({self._failed}); some of "
            "them may have been written: run the command again, which writes what is missing"
        )

    def _fail(self, error: Any) -> None:
        """The first cause counts. As text: an error of librdkafka's has no truth value."""
        if self._failed is None:
            self._failed = str(error)

    def _on_delivery(self, error: Any, message: Any) -> None:
        if error is not None:
            self._fail(error)
        else:
            self._end = max(self._end, message.offset() + 1)
