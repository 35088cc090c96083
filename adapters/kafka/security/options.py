"""The security options of each client library. The only place that makes them.

aiokafka takes the names of kafka-python; its token provider is in ``streaming.log.security``.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everfresh.adapters.kafka.security.files import key_password, password
from everfresh.adapters.kafka.security.tls import require_files, tls_context
from everfresh.adapters.kafka.security.tokens import token_source
from everfresh.contracts.kafka.security import OAUTHBEARER, Brokers, KafkaSecurity


def python_options(brokers: Brokers) -> dict[str, Any]:
    """Address, TLS and login for kafka-python. ``SettingsError`` where a file cannot be used."""
    security = brokers.security
    options: dict[str, Any] = {
        "bootstrap_servers": brokers.servers.split(","),
        "security_protocol": security.protocol,
    }
    if security.has_tls:
        options["ssl_context"] = tls_context(security)
        options["ssl_check_hostname"] = security.verify_host
    if security.has_login:
        options |= python_login(security)
    return options


def python_login(security: KafkaSecurity) -> dict[str, Any]:
    """The login for kafka-python alone, which sends a name by SCRAM as it gets it."""
    login = login_options(security)
    if security.mechanism.startswith("SCRAM"):
        name = security.username.replace("=", "=3D").replace(",", "=2C")  # RFC 5802, 5.1
        login["sasl_plain_username"] = name
    return login


def login_options(security: KafkaSecurity) -> dict[str, Any]:
    """The login, by the names of kafka-python and aiokafka."""
    if security.mechanism == OAUTHBEARER:
        provider = token_source(security)
        return {"sasl_mechanism": OAUTHBEARER, "sasl_oauth_token_provider": provider}
    return {
        "sasl_mechanism": security.mechanism,
        "sasl_plain_username": security.username,
        "sasl_plain_password": password(security),
    }


def librdkafka_options(brokers: Brokers) -> dict[str, Any]:
    """Address, TLS and login for librdkafka. ``SettingsError`` where a file cannot be used."""
    security = brokers.security
    options: dict[str, Any] = {
        "bootstrap.servers": brokers.servers,
        "security.protocol": security.protocol,
    }
    if security.has_tls:
        options |= _librdkafka_tls(security)
    if security.has_login:
        options["sasl.mechanism"] = security.mechanism
        if security.mechanism == OAUTHBEARER:
            options["oauth_cb"] = _callback(security)
        else:
            options["sasl.username"] = security.username
            options["sasl.password"] = password(security)
    return options


def _librdkafka_tls(security: KafkaSecurity) -> dict[str, Any]:
    require_files(security)
    # The CAs that Python trusts, SSL_CERT_FILE among them; without them librdkafka looks itself.
    of_system = ssl.get_default_verify_paths().cafile
    trusted = security.ca_file or (of_system if of_system and Path(of_system).is_file() else "")
    options: dict[str, Any] = {
        "ssl.ca.location": trusted or "probe",
        "ssl.endpoint.identification.algorithm": "https" if security.verify_host else "none",
    }
    if security.certificate_file:
        options["ssl.certificate.location"] = security.certificate_file
        options["ssl.key.location"] = security.key_file
        if secret := key_password(security):
            options["ssl.key.password"] = secret
    return options


def _callback(security: KafkaSecurity) -> Callable[[str], tuple[str, float]]:
    source = token_source(security)
    return lambda _: source.token_and_end()
