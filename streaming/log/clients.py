"""Starts a Kafka client, with an error that says what to do where no broker answers."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaConnectionError

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.contracts.errors import Unreachable
from everfresh.streaming.log.header_names import forgive_header_names


async def start_client(client: Any, servers: str) -> None:
    """Start an aiokafka client; ``Unreachable`` where no broker answers."""
    forgive_header_names()
    try:
        await client.start()
    except KafkaConnectionError as error:
        await client.stop()
        await asyncio.to_thread(require_broker, servers)
        raise Unreachable(
            f"no Kafka broker answers at {servers} ({error}); check the address and that the "
            "broker runs"
        ) from None
