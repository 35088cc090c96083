"""Admin connections to Kafka: a quick check first, so that a missing broker is told at once."""

from __future__ import annotations

import re

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from everfresh.adapters.kafka.diagnosis import SETTING, require_broker
from everfresh.adapters.kafka.security.options import python_options
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.kafka.security import PLAINTEXT, Brokers

_SAID = re.compile(r"error_message=(['\"])(.+?)\1, ")


def connect_admin(brokers: Brokers, timeout_ms: int = 10_000) -> KafkaAdminClient:
    """An admin client (a context manager); ``Unreachable`` within about ``timeout_ms``."""
    require_broker(brokers, wait_s=timeout_ms / 1000)
    try:
        return KafkaAdminClient(
            **python_options(brokers),
            bootstrap_timeout_ms=timeout_ms,
            request_timeout_ms=timeout_ms,
        )
    except KafkaError as error:
        raise Unreachable(
            f"the Kafka broker at {brokers} does not answer an administrator's request "
            f"({error}); check its log, or correct {SETTING}"
        ) from None


def broker_answers(brokers: Brokers) -> bool:
    """Whether an admin request is answered with at least one broker that is not fenced."""
    try:
        secured = brokers.security.protocol != PLAINTEXT  # and often far away, at many round trips
        with connect_admin(brokers, timeout_ms=6_000 if secured else 2_000) as admin:
            known = admin.describe_cluster()["brokers"]
            return any(not broker.get("is_fenced") for broker in known)
    except (Unreachable, SettingsError, KafkaError):
        return False


def cluster_id(brokers: Brokers) -> str:
    """The id that the cluster gave itself, which no other cluster has; ``Unreachable`` where
    nobody tells."""
    with connect_admin(brokers) as admin:
        try:
            return str(admin.describe_cluster()["cluster_id"])
        except KafkaError as error:
            raise Unreachable(f"{brokers} does not say which cluster it is: {error}") from None


def broker_words(error: KafkaError) -> str:
    """What the broker gave as its reason; the client's own words put the whole request before it.

    The name of the error where the broker gave no reason.
    """
    text = str(error)
    if "failed with response" not in text:
        return text
    found = _SAID.search(text)
    return found[2].rstrip(".") if found else type(error).__name__
