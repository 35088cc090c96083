"""Sends the outbox's records to Kafka, and asks the broker for its time by writing a record."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from aiokafka import AIOKafkaProducer

from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import CLOCK, topic_name
from everfresh.streaming.log.clients import start_client
from everfresh.streaming.log.records import MAX_RECORD_BYTES, OutgoingRecord
from everfresh.streaming.log.security import aiokafka_options

_FRAME_BYTES = 65_536


class KafkaSender:
    """One per worker. Idempotent, and acknowledged by all replicas."""

    def __init__(self, brokers: Brokers, topic_prefix: str) -> None:
        self._prefix = topic_prefix
        self._brokers = brokers
        self._producer = AIOKafkaProducer(
            **aiokafka_options(brokers),
            client_id="everfresh-worker",
            enable_idempotence=True,
            acks="all",
            max_request_size=MAX_RECORD_BYTES + _FRAME_BYTES,
        )

    async def start(self) -> None:
        """Connect; ``Unreachable`` where no broker answers."""
        await start_client(self._producer, self._brokers)

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def send(self, record: OutgoingRecord) -> Awaitable[Any]:
        """Queue a record. The awaitable that is returned is done once all replicas have it."""
        acknowledged: Awaitable[Any] = await self._producer.send(
            self._prefix + record.topic,
            value=record.value,
            key=record.key,
            partition=record.partition,
            headers=record.headers,
        )
        return acknowledged

    async def broker_time_ms(self) -> int:
        """Write an empty record and return its append time: the broker's clock, UTC ms."""
        topic = topic_name(self._prefix, CLOCK)
        written = await self._producer.send_and_wait(topic, value=b"", partition=0)
        return int(written.timestamp)
