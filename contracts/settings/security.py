"""Settings of the TLS and the login with which all parts reach Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_serializer, model_validator

from everfresh.contracts.kafka.security import KafkaSecurity, contradiction
from everfresh.contracts.settings.group import Group, absolute


def _absolute_or_none(path: str) -> str:
    return str(absolute(Path(path))) if path else ""


OptionalFile = Annotated[str, AfterValidator(_absolute_or_none)]


class SecuritySettings(Group):
    """TLS and login of every connection to Kafka. docs/kafka.md has examples."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="What the brokers' listener speaks: SSL is TLS, SASL is a login. Managed "
        "clusters mostly want SASL_SSL. SASL_PLAINTEXT sends events in clear text, and with "
        "mechanism PLAIN the password too.",
    )
    mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "",
        description="How to log in, for SASL_SSL and SASL_PLAINTEXT: PLAIN, SCRAM-SHA-256, "
        "SCRAM-SHA-512, or OAUTHBEARER (a token from token_url). Take what your cluster offers.",
    )
    username: str = Field(
        "",
        description="Name that logs in: a user, an API key, or the client's id for OAUTHBEARER.",
    )
    password: SecretStr = Field(
        SecretStr(""),
        description="Password of username, or the client's secret for OAUTHBEARER. Prefer "
        "password_file, or the variable EVERFRESH_KAFKA__SECURITY__PASSWORD.",
    )
    password_file: OptionalFile = Field(
        "",
        description="File that holds the password and nothing else, read at each start; a line "
        "break at its end does not count. Others must not be able to read it.",
    )
    ca_file: OptionalFile = Field(
        "",
        description="PEM file of the certificate authorities that may sign the brokers' "
        "certificates. Set it if your cluster has a CA of its own; empty trusts those that the "
        "system trusts.",
    )
    certificate_file: OptionalFile = Field(
        "",
        description="PEM file of the client's certificate, and of those that lead to its CA. Set "
        "it if the cluster asks clients for a certificate (mutual TLS).",
    )
    key_file: OptionalFile = Field(
        "",
        description="PEM file of the private key of certificate_file. Others must not be able to "
        "read it.",
    )
    key_password: SecretStr = Field(
        SecretStr(""),
        description="Password of the private key, if it is encrypted. Prefer key_password_file.",
    )
    key_password_file: OptionalFile = Field(
        "",
        description="File that holds the private key's password and nothing else. Others must not "
        "be able to read it.",
    )
    verify_host: bool = Field(
        True,
        description="Whether a broker's certificate must name the host that was connected to. "
        "Turn it off only for a cluster whose certificates name no hosts; whoever holds any "
        "certificate of that CA can then pass for a broker.",
    )
    token_url: str = Field(
        "",
        description="Token endpoint for OAUTHBEARER, an https URL. Tokens are asked for there "
        "with username and password (the client credentials grant of OAuth 2.0).",
    )
    token_scope: str = Field(
        "",
        description="Scope that is asked for with the token (OAUTHBEARER). Set it if your "
        "identity provider wants one.",
    )

    @field_serializer("password", "key_password", when_used="json")
    def _plain(self, secret: SecretStr) -> str:
        # Settings go to child processes as JSON; what is printed or logged shows asterisks.
        return secret.get_secret_value()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if wrong := contradiction(self):
            raise ValueError(wrong)
        return self

    @property
    def of_client(self) -> KafkaSecurity:
        """The same, as the clients take it."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        for name in ("password", "key_password"):
            fields[name] = fields[name].get_secret_value()
        return KafkaSecurity(**fields)
