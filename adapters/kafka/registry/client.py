"""Asks a schema registry (Confluent's REST interface, which Karapace and Apicurio have too).

A schema id never changes what it means, so what was asked once is kept.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import msgspec

from everfresh.adapters.kafka.security.files import first_line
from everfresh.contracts.errors import EventRejected, SettingsError, Unreachable
from everfresh.contracts.settings import RegistrySettings

_WAIT_S = 10.0
_LARGEST_ANSWER = 4 * 1024 * 1024
_ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"


class Schema(msgspec.Struct, frozen=True):
    """One schema: its text (of Protobuf the bytes of its descriptor, as base64), and the schemas
    that it refers to, by the name it has for them."""

    kind: str
    text: str
    references: dict[str, Schema]


class RegistryClient:
    """``Unreachable`` where the registry does not answer or lets nobody in: a later attempt may
    succeed. ``EventRejected`` for a schema that it does not have."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._url = settings.url.rstrip("/")
        self._known: dict[int, Schema] = {}
        self._login = ""
        if settings.username:
            secret = settings.password.get_secret_value()
            secret = secret or first_line("password_file", settings.password_file, "registry")
            self._login = base64.b64encode(f"{settings.username}:{secret}".encode()).decode()
        try:
            context = ssl.create_default_context(cafile=settings.ca_file or None)
        except (OSError, ValueError):
            raise SettingsError(
                f"registry.ca_file names {settings.ca_file}, which is no certificate in PEM form; "
                "name the CA's certificate"
            ) from None
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), _NoRedirect()
        )

    def schema(self, number: int) -> Schema:
        """The schema with that id."""
        if number not in self._known:
            self._known[number] = self._with_references(f"/schemas/ids/{number}")
        return self._known[number]

    def _with_references(self, path: str) -> Schema:
        # Of Protobuf only the descriptor can be read without a compiler; others ignore the format.
        answer = self._ask(f"{path}?format=serialized")
        try:
            references = {
                str(each["name"]): self._with_references(
                    f"/subjects/{urllib.parse.quote(str(each['subject']), safe='')}"
                    f"/versions/{int(each['version'])}"
                )
                for each in answer.get("references") or []
            }
            return Schema(answer.get("schemaType") or "AVRO", str(answer["schema"]), references)
        except (KeyError, TypeError, ValueError):
            raise Unreachable(
                f"what answers at {self._url}{path} is no schema registry; correct registry.url"
            ) from None

    def _ask(self, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self._url + path, headers={"Accept": _ACCEPT})
        if self._login:
            request.add_header("Authorization", f"Basic {self._login}")
        try:
            with self._opener.open(request, timeout=_WAIT_S) as answer:
                found = json.loads(answer.read(_LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(path, error.code) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = getattr(error, "reason", None) or error
            raise Unreachable(
                f"the schema registry at {self._url} does not answer ({cause}); check that it is "
                "up, or correct registry.url"
            ) from None
        if not isinstance(found, dict):
            raise Unreachable(f"what answers at {self._url} is no schema registry")
        return found

    def _refused(self, path: str, code: int) -> Exception:
        if code in (404, 422):
            return EventRejected(
                "unknown_schema", f"the schema registry at {self._url} has no {path} ({code})"
            )
        advice = "check its log"
        if code in (401, 403):
            advice = "correct registry.username and registry.password, or what it lets them read"
        return Unreachable(f"the schema registry at {self._url} answers {code}; {advice}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The login goes to the address that the operator named, and to no other."""

    def redirect_request(self, *_: Any) -> None:
        """None is followed."""
