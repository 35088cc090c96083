"""The Kafka client behind the public producer: how it connects, and what a fork leaves of it."""

from __future__ import annotations

import os

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.security.options import python_options
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.kafka.security import Brokers

_BATCH_BYTES = 65_536
_BOOTSTRAP_MS = 5_000
_BLOCK_MS = 10_000
_ENVELOPE_BYTES = 4096  # room for key, headers and framing around the largest value


class ClientSettings(msgspec.Struct, frozen=True):
    """Where to connect, and the limits that ``EventProducer`` was given."""

    brokers: Brokers
    max_bytes: int
    linger_ms: int
    delivery_s: float


class Client(KafkaProducer):  # type: ignore[misc]  # the library has no type hints
    """Closes in the process that made it alone.

    In a child that was forked there is no thread that sends, and the sockets are the parent's: the
    library's ``close``, which it also calls as the interpreter ends, would wait there in vain.
    """

    def __init__(self, **configs: object) -> None:
        self._made_in = os.getpid()
        super().__init__(**configs)

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:
        """As the library's; in another process, nothing."""
        if self._made_in == os.getpid():
            super().close(timeout, null_logger)


def connect(settings: ClientSettings) -> Client:
    """An idempotent client; ``Unreachable`` where no broker answers."""
    try:
        require_broker(settings.brokers, "bootstrap_servers")
    except SettingsError as error:
        raise Unreachable(str(error)) from None
    delivery_ms = int(settings.delivery_s * 1000)
    try:
        return Client(
            **python_options(settings.brokers),
            client_id="everfresh-producer",
            acks="all",
            enable_idempotence=True,
            linger_ms=settings.linger_ms,
            batch_size=_BATCH_BYTES,
            max_request_size=max(1_048_576, settings.max_bytes + _ENVELOPE_BYTES),
            delivery_timeout_ms=delivery_ms,
            request_timeout_ms=min(30_000, max(1, delivery_ms - settings.linger_ms)),
            bootstrap_timeout_ms=_BOOTSTRAP_MS,
            max_block_ms=_BLOCK_MS,
            allow_auto_create_topics=False,
        )
    except (KafkaError, OSError, ValueError) as error:
        raise Unreachable(
            f"no Kafka broker answers at {settings.brokers} ({error!r}); check the address and "
            "that the broker runs"
        ) from None
