"""Admin connections to Kafka: a quick check first, so that a missing broker is told at once."""

from __future__ import annotations

import socket

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from everfresh.adapters.kafka.assertions import require_assertions
from everfresh.adapters.machine.tcp_ports import parse_address
from everfresh.contracts.errors import Unreachable

_CONNECT_SECONDS = 1.0


def has_listener(bootstrap_servers: str) -> bool:
    """Whether anything accepts a connection at one of ``host:port[,…]``.

    ``SettingsError`` where the text is not of that form; ``MissingDependency`` under ``python -O``.
    """
    require_assertions()
    for part in bootstrap_servers.split(","):
        address = parse_address(part, "kafka.bootstrap_servers")
        try:
            with socket.create_connection(address, _CONNECT_SECONDS) as connection:
                # A socket can connect to itself while it waits for a port nobody serves.
                if connection.getsockname() != connection.getpeername():
                    return True
        except OSError:
            continue
    return False


def require_listener(bootstrap_servers: str) -> None:
    """Raise ``Unreachable`` at once where nothing accepts a connection."""
    if not has_listener(bootstrap_servers):
        raise Unreachable(
            f"no Kafka broker accepts connections at {bootstrap_servers}; start it, or correct "
            "kafka.bootstrap_servers (--bootstrap-servers HOST:PORT)"
        )


def connect_admin(bootstrap_servers: str, timeout_ms: int = 10_000) -> KafkaAdminClient:
    """An admin client (a context manager); ``Unreachable`` within about ``timeout_ms``."""
    require_listener(bootstrap_servers)
    try:
        return KafkaAdminClient(
            bootstrap_servers=bootstrap_servers,
            bootstrap_timeout_ms=timeout_ms,
            request_timeout_ms=timeout_ms,
        )
    except KafkaError as error:
        raise Unreachable(
            f"something listens at {bootstrap_servers} and does not answer as Kafka does "
            f"({error}); correct kafka.bootstrap_servers (--bootstrap-servers HOST:PORT)"
        ) from None


def broker_answers(bootstrap_servers: str) -> bool:
    """Whether an admin request is answered with at least one broker that is not fenced."""
    if not has_listener(bootstrap_servers):
        return False
    try:
        with connect_admin(bootstrap_servers, timeout_ms=2_000) as admin:
            brokers = admin.describe_cluster()["brokers"]
            return any(not broker.get("is_fenced") for broker in brokers)
    except (Unreachable, KafkaError):
        return False
