"""Starts a Kafka client, with an error that says what to do where no broker answers."""

from __future__ import annotations

from typing import Any

from aiokafka.errors import KafkaConnectionError

from everfresh.contracts.errors import Unreachable
from everfresh.streaming.log.header_names import forgive_header_names


async def start_client(client: Any, servers: str) -> None:
    """Start an aiokafka client; ``Unreachable`` where no broker answers."""
    forgive_header_names()
    try:
        await client.start()
    except KafkaConnectionError as error:
        await client.stop()
        raise Unreachable(
            f"no Kafka broker answers at {servers} ({error}); check the address and that the "
            "broker runs"
        ) from None
