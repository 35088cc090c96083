"""Settings of sources: topics of another shape whose records become events."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_serializer, model_validator

from everfresh.contracts.settings.group import Group
from everfresh.contracts.settings.security import OptionalFile

KEY, TIMESTAMP, HEADER = "$key", "$timestamp", "$headers."
"""What a path may name besides a field: the record's key, its timestamp, one of its headers."""

Scalar = str | bool | int | float
Kind = Literal["", "integer", "text"]
SOURCE_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,39}")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class SourceSettings(Group):
    """One topic of another shape, `[sources.NAME]`. docs/bring-your-data.md has examples. A path
    names a field of the value, with dots for inner ones, or `$key`, `$timestamp`,
    `$headers.NAME`."""

    topic: str = Field(description="Topic to read, on the cluster of kafka.bootstrap_servers.")
    format: Literal["json", "avro", "protobuf"] = Field(
        "json",
        description="What the values are: json, or avro or protobuf in the wire format of a schema "
        "registry (registry.url).",
    )
    user: str = Field(description="Path of the user id.")
    item: str = Field(description="Path of the item id.")
    type: str = Field("", description="Type of all events, such as click; or set type_field.")
    type_field: str = Field("", description="Path of the type.")
    types: dict[str, str] = Field(
        {}, description="Types of the topic, and the event types (events.actions) that they are."
    )
    time: str = Field(TIMESTAMP, description="Path of the time; the record's own by default.")
    time_unit: Literal["", "s", "ms", "us", "ns", "iso"] = Field(
        "",
        description="What a time is: a number of s, ms, us or ns since 1970, or iso (ISO 8601 text "
        "with a zone). Times that Avro or Protobuf declare as such need none.",
    )
    value: str = Field("", description="Path of a magnitude, such as a rating.")
    request_id: str = Field("", description="Path of the request_id of the answer that led here.")
    id: str = Field(
        "",
        description="Path of what names the event; without it, its place in the topic does.",
    )
    attributes: list[str] = Field([], description="Paths of fields that events keep as attributes.")
    where: dict[str, Scalar | list[Scalar]] = Field(
        {},
        description="Which records become events: each path has this value, or one of these. "
        "Others are counted and left out.",
    )
    user_kind: Kind = Field(
        "", description="Turns user ids into one kind: integer or text. Ids keep their type else."
    )
    item_kind: Kind = Field("", description="The same of item ids.")
    begin: Literal["earliest", "latest"] = Field(
        "earliest",
        description="Where to begin for the first time: with the oldest record that the topic has, "
        "or with what comes from now on.",
    )
    accept_gap: bool = Field(
        False,
        description="Whether to go on with the oldest record that is there when the next one has "
        "gone: retention was faster, or the topic was made anew. If off, the bridge stops and says "
        "so. Turn it on only if the records between may be lost.",
    )

    @property
    def paths(self) -> list[str]:
        """All paths that are set."""
        single = (self.user, self.item, self.type_field, self.time, self.value, self.request_id)
        return [path for path in (*single, self.id, *self.attributes, *self.where) if path]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not _TOPIC.fullmatch(self.topic):
            raise ValueError(f"topic is the name of a Kafka topic, found {self.topic[:80]!r}")
        if bool(self.type) == bool(self.type_field):
            found = "both are" if self.type else "neither is"
            raise ValueError(
                f"type gives all events one type, type_field reads it; {found} set: set one"
            )
        for name in ("user", "item"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; name the field that has the {name}'s id")
        for path in self.paths:
            known = path in (KEY, TIMESTAMP) or (path.startswith(HEADER) and path != HEADER)
            if (path.startswith("$") and not known) or not all(path.split(".")):
                raise ValueError(
                    f"a path is a field, with dots for inner ones, or {KEY}, {TIMESTAMP} or "
                    f"{HEADER}NAME; found {path[:80]!r}"
                )
        if self.time == TIMESTAMP and self.time_unit:
            raise ValueError(f"time_unit is set, and time is {TIMESTAMP}, which needs none")
        if self.format == "json" and self.time != TIMESTAMP and not self.time_unit:
            raise ValueError("time names a field and time_unit is empty; set it: s, ms, us or iso")
        return self


class RegistrySettings(Group):
    """The schema registry (Confluent's REST interface) of sources in Avro or Protobuf."""

    url: str = Field(
        "",
        pattern=r"^(https?://[^\s/@]+(/[^\s?#]*)?)?$",
        description="Address of the schema registry, such as https://registry.example.com. Set it "
        "if a source's format is avro or protobuf.",
    )
    username: str = Field("", description="Name that logs in at the registry (HTTP Basic).")
    password: SecretStr = Field(
        SecretStr(""),
        description="Password of username. Prefer password_file, or the variable "
        "EVERFRESH_REGISTRY__PASSWORD.",
    )
    password_file: OptionalFile = Field(
        "",
        description="File that holds the password and nothing else. Others must not be able to "
        "read it.",
    )
    ca_file: OptionalFile = Field(
        "",
        description="PEM file of the certificate authorities that may sign the registry's "
        "certificate; empty trusts those that the system trusts.",
    )

    @field_serializer("password", when_used="json")
    def _plain(self, secret: SecretStr) -> str:
        # Settings go to child processes as JSON; what is printed or logged shows asterisks.
        return secret.get_secret_value()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        secret = self.password.get_secret_value()
        if secret and self.password_file:
            raise ValueError("password and password_file are both set; keep one of them")
        if bool(self.username) != bool(secret or self.password_file):
            raise ValueError("username and password go together; set both or neither")
        if self.username and not self.url:
            raise ValueError("username is set and url is empty; set registry.url")
        return self


def contradiction(sources: dict[str, SourceSettings], registry_url: str, own: set[str]) -> str:
    """What is wrong with the sources together, as one sentence; empty if nothing is.

    ``own`` are the topics of this deployment.
    """
    readers: dict[str, Any] = {}
    for name, source in sources.items():
        if not SOURCE_NAME.fullmatch(name):
            return (
                f"{ascii(name)[:80]} names a source; a name has 1 to 40 lower-case letters, "
                "digits, '_' and '-'"
            )
        if source.topic in own:
            return (
                f"{name}.topic is {source.topic}, a topic that everfresh itself writes or reads; "
                "name the topic of your own"
            )
        if source.format != "json" and not registry_url:
            return (
                f"{name}.format is {source.format}, and registry.url is empty; name the schema "
                "registry"
            )
        if source.topic in readers:
            return f"{name} and {readers[source.topic]} both read {source.topic}; keep one of them"
        readers[source.topic] = name
    return ""
