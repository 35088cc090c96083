"""TLS and login of the worker's clients: aiokafka's own, and Faust's."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
from aiokafka.abc import AbstractTokenProvider
from faust.auth import OAuthCredentials

from everfresh.adapters.kafka.security.options import login_options, python_options
from everfresh.adapters.kafka.security.tls import tls_context
from everfresh.adapters.kafka.security.tokens import TokenSource, token_source
from everfresh.contracts.kafka.security import OAUTHBEARER, Brokers, KafkaSecurity

_TOKEN = "sasl_oauth_token_provider"


class _AsyncTokens(AbstractTokenProvider):  # type: ignore[misc]  # the library has no type hints
    """Asks for a token on a thread, so that the event loop goes on."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:
        """The token of now."""
        return await asyncio.to_thread(self._source.token)


def aiokafka_options(brokers: Brokers) -> dict[str, Any]:
    """Address, TLS and login of an aiokafka client. ``SettingsError`` for a file that is bad."""
    options = python_options(brokers)
    options.pop("ssl_check_hostname", None)  # the context says it
    if brokers.security.has_login:
        options |= login_options(brokers.security)
    if _TOKEN in options:
        options[_TOKEN] = _AsyncTokens(options[_TOKEN])
    return options


def faust_credentials(security: KafkaSecurity) -> Any:
    """The same as Faust's credentials; ``None`` for PLAINTEXT."""
    context = tls_context(security) if security.has_tls else None
    if not security.has_login:
        return faust.SSLCredentials(context) if context else None
    if security.mechanism == OAUTHBEARER:
        return OAuthCredentials(oauth_cb=_AsyncTokens(token_source(security)), ssl_context=context)
    login = login_options(security)
    return faust.SASLCredentials(
        username=login["sasl_plain_username"],
        password=login["sasl_plain_password"],
        mechanism=login["sasl_mechanism"],
        ssl_context=context,
    )
