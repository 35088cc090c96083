"""The worker's clients take what kafka.security says: aiokafka's own, and Faust's."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from everfresh.adapters.kafka.security.options import python_options
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity
from everfresh.contracts.settings import Settings, load_settings
from everfresh.streaming.log.faust_app import faust_app
from everfresh.streaming.log.security import aiokafka_options
from tests.certificates import Authority

SERVERS = "kafka-1:9093,kafka-2:9093"
LOGIN = {"username": "a,b=c", "password": "t0p-secret"}
WAYS: list[dict[str, Any]] = [
    {"protocol": "PLAINTEXT"},
    {"protocol": "SSL"},
    {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", **LOGIN},
    {"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-256", **LOGIN},
    {
        "protocol": "SASL_SSL",
        "mechanism": "OAUTHBEARER",
        "token_url": "https://login.example/token",
        **LOGIN,
    },
]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.chdir(tmp_path)
    return Authority(tmp_path)


def plainly(options: dict[str, Any]) -> dict[str, Any]:
    """Options as they can be compared: contexts and providers by what they are."""
    return {
        name: type(value).__name__ if name.endswith(("provider", "context")) else value
        for name, value in options.items()
        if value is not None
    }


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way['protocol']} {way.get('mechanism')}")
def test_faust_logs_in_as_the_other_clients_do(authority: Authority, way: dict[str, Any]) -> None:
    if way["protocol"].endswith("SSL"):
        way = way | {"ca_file": str(authority.file), "verify_host": False}
    settings = load_settings({"kafka": {"bootstrap_servers": SERVERS, "security": way}})

    async def of_faust(settings: Settings) -> dict[str, Any]:
        credentials = faust_app(settings, "worker").conf.broker_credentials
        return dict(credentials_to_aiokafka_auth(credentials))

    ours = aiokafka_options(settings.kafka.brokers)
    theirs = asyncio.run(of_faust(settings))
    assert ours.pop("bootstrap_servers") == SERVERS.split(",")
    assert plainly(theirs) == plainly(ours)
    for options in (ours, theirs):
        context = options.get("ssl_context")
        assert (context is not None) == way["protocol"].endswith("SSL")
        if context is not None:
            assert context.verify_mode == ssl.CERT_REQUIRED
            assert not context.check_hostname


def test_a_name_is_escaped_by_scram_once_whatever_the_library() -> None:
    brokers = Brokers(SERVERS, KafkaSecurity(**{**WAYS[2], "mechanism": "SCRAM-SHA-512"}))
    # kafka-python sends a name as it gets it, aiokafka escapes.
    assert python_options(brokers)["sasl_plain_username"] == "a=2Cb=3Dc"
    assert aiokafka_options(brokers)["sasl_plain_username"] == "a,b=c"
