"""How to reach a Kafka cluster: its brokers, and the TLS and login that they ask for. No I/O.

Needs msgspec alone, since the public producer takes it too. The settings ``kafka.security`` have
the same names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from everfresh.contracts.errors import SettingsError

PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL = PROTOCOLS = (
    "PLAINTEXT",
    "SSL",
    "SASL_PLAINTEXT",
    "SASL_SSL",
)
OAUTHBEARER = "OAUTHBEARER"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTHBEARER)

_SECRETS = frozenset({"password", "key_password"})
_OF_TLS = ("ca_file", "certificate_file", "key_file", "key_password", "key_password_file")
_OF_LOGIN = ("mechanism", "username", "password", "password_file", "token_url", "token_scope")
_URL = re.compile(r"https://[^\s/]|http://(localhost|127\.0\.0\.1|\[::1\])[:/]")


class KafkaSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """TLS and login of a Kafka client. ``SettingsError`` where the values exclude each other.

    ``username`` and ``password`` are the client's id and secret where ``mechanism`` is
    ``OAUTHBEARER``. Files are read when a client connects. Secrets are never shown.
    """

    protocol: str = PLAINTEXT
    mechanism: str = ""
    username: str = ""
    password: str = ""
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    key_password: str = ""
    key_password_file: str = ""
    verify_host: bool = True
    token_url: str = ""
    token_scope: str = ""

    def __post_init__(self) -> None:
        if wrong := contradiction(self):
            raise SettingsError(wrong)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The fields, with asterisks for secrets."""
        fields = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(n, "**********" if value and n in _SECRETS else value) for n, value in fields]

    def __repr__(self) -> str:
        return f"KafkaSecurity({', '.join(f'{n}={v!r}' for n, v in self.__rich_repr__())})"

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.protocol in (SSL, SASL_SSL)

    @property
    def has_login(self) -> bool:
        """Whether the client names itself by SASL."""
        return self.protocol in (SASL_PLAINTEXT, SASL_SSL)


class Brokers(msgspec.Struct, frozen=True):
    """``servers`` is ``host:port[,…]``. As a text it is that alone."""

    servers: str
    security: KafkaSecurity = msgspec.field(default_factory=KafkaSecurity)

    def __str__(self) -> str:
        return self.servers


def contradiction(security: Any) -> str:
    """What is wrong with these values and what to do, as one sentence; empty if nothing is.

    ``security`` has the fields of :class:`KafkaSecurity`, each secret as text.
    """
    return next(_contradictions(security), "")


def _contradictions(security: Any) -> Iterator[str]:
    protocol, mechanism = security.protocol, security.mechanism
    if protocol not in PROTOCOLS:
        yield f"protocol must be one of {', '.join(PROTOCOLS)}, found {protocol[:40]!r}"
    if mechanism and mechanism not in MECHANISMS:
        yield f"mechanism must be one of {', '.join(MECHANISMS)}, found {mechanism[:40]!r}"
    for secret in _SECRETS:
        if getattr(security, secret) and getattr(security, f"{secret}_file"):
            yield f"{secret} and {secret}_file are both set; keep one of them"
    yield from _of_tls(security)
    if protocol in (SASL_PLAINTEXT, SASL_SSL):
        yield from _of_login(security)
    elif given := [name for name in _OF_LOGIN if getattr(security, name)]:
        yield (
            f"protocol is {protocol}, which has no login, and {given[0]} is set; set protocol to "
            f"{SASL_SSL}, or remove {given[0]}"
        )


def _of_tls(security: Any) -> Iterator[str]:
    if security.protocol in (PLAINTEXT, SASL_PLAINTEXT):
        given = [name for name in _OF_TLS if getattr(security, name)]
        given += [] if security.verify_host else ["verify_host"]
        if given:
            with_tls = SSL if security.protocol == PLAINTEXT else SASL_SSL
            yield (
                f"protocol is {security.protocol}, which has no TLS, and {given[0]} is set; set "
                f"protocol to {with_tls}, or remove {given[0]}"
            )
    if security.certificate_file and not security.key_file:
        yield "certificate_file is set and key_file is not; name the file with its private key"
    if security.key_file and not security.certificate_file:
        yield "key_file is set and certificate_file is not; name the file with its certificate"
    if (security.key_password or security.key_password_file) and not security.key_file:
        yield "key_password is set and key_file is not; name the file with the private key"


def _of_login(security: Any) -> Iterator[str]:
    if not security.mechanism:
        yield f"protocol is {security.protocol} and mechanism is empty; set one of " + ", ".join(
            MECHANISMS
        )
    who = ("username", "password")
    if security.mechanism == OAUTHBEARER:
        who = ("username (the client's id)", "password (the client's secret)")
        if not security.token_url:
            yield "mechanism is OAUTHBEARER and token_url is empty; name the token endpoint"
        if not _URL.match(security.token_url):
            yield (
                "token_url must begin with https://, since the client's secret is sent there; "
                "http:// is taken for this machine alone"
            )
    elif security.token_url or security.token_scope:
        name = "token_url" if security.token_url else "token_scope"
        yield f"{name} is set and mechanism is {security.mechanism}; remove it, or set OAUTHBEARER"
    if not security.username:
        yield f"mechanism is {security.mechanism} and {who[0]} is empty; set it"
    if not security.password and not security.password_file:
        yield f"mechanism is {security.mechanism} and {who[1]} is empty; set it, or password_file"
