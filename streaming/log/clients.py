"""Starts a Kafka client, with an error that says what to do where no broker answers."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import ClusterAuthorizationFailedError, KafkaConnectionError

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.rights import missing_right
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.streaming.log.header_names import forgive_header_names


async def start_client(client: Any, brokers: Brokers) -> None:
    """Start an aiokafka client; ``Unreachable`` where no broker answers."""
    forgive_header_names()
    try:
        await client.start()
    except KafkaConnectionError as error:
        await client.stop()
        await asyncio.to_thread(require_broker, brokers)
        raise Unreachable(
            f"no Kafka broker answers at {brokers} ({error}); check the address and that the "
            "broker runs"
        ) from None
    except ClusterAuthorizationFailedError:
        # So a broker answers an idempotent producer that may write to no topic at all.
        await client.stop()
        raise Unreachable(missing_right(brokers, "Write on any topic")) from None
