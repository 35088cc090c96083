"""Tokens for OAUTHBEARER, from a token endpoint by the client credentials grant (RFC 6749, 4.4).

One way for all three client libraries: two of them take only a function that returns a token, and
the third one's own way knows neither the proxy nor the CAs that Python is told of.
"""

from __future__ import annotations

import base64
import functools
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from kafka.net.sasl.oauth import AbstractTokenProvider

from everfresh.adapters.kafka.security.files import password
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.kafka.security import KafkaSecurity

_WAIT_S = 10.0
_LARGEST_ANSWER = 1_048_576
_USED_SHARE = 0.8  # of its life; then the next connection gets a new one
_LIFE_S = 300.0  # of a token whose endpoint does not say


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The client's secret goes to the address that the operator named, and to no other."""

    def redirect_request(self, *_: Any) -> None:
        """None is followed."""


class TokenSource(AbstractTokenProvider):  # type: ignore[misc]  # the library has no type hints
    """Asks for a token when the last one is old. Thread-safe; also kafka-python's provider."""

    def __init__(self, security: KafkaSecurity) -> None:
        self._security = security
        self._lock = threading.Lock()
        self._token, self._renew_at, self._ends = "", 0.0, 0.0

    def token(self) -> str:
        """See :meth:`token_and_end`."""
        return self.token_and_end()[0]

    def token_and_end(self) -> tuple[str, float]:
        """A token, and when it ends (Unix time, seconds). ``SettingsError`` where the endpoint
        refuses, ``Unreachable`` where it does not answer."""
        with self._lock:
            now = time.time()
            if now >= self._renew_at:
                self._token, life_s = self._ask()
                self._renew_at, self._ends = now + life_s * _USED_SHARE, now + life_s
            return self._token, self._ends

    def _ask(self) -> tuple[str, float]:
        url = self._security.token_url
        form = {"grant_type": "client_credentials"}
        if self._security.token_scope:
            form["scope"] = self._security.token_scope
        request = urllib.request.Request(
            url,
            urllib.parse.urlencode(form).encode(),
            {"Authorization": self._basic(), "Accept": "application/json"},
        )
        context = ssl.create_default_context()
        if self._security.ca_file:
            context.load_verify_locations(self._security.ca_file)
        opener = urllib.request.build_opener(
            _NoRedirect, urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=_WAIT_S) as response:
                answer = response.read(_LARGEST_ANSWER)
        except urllib.error.HTTPError as error:
            with error:
                raise SettingsError(
                    f"the token endpoint {url} refuses a token for client "
                    f"{self._security.username!r}: HTTP {error.code}{_said(error)}; correct "
                    "kafka.security.username, password and token_scope"
                ) from None
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            raise Unreachable(
                f"the token endpoint {url} does not answer ({reason}); correct "
                "kafka.security.token_url, or mend the way to it"
            ) from None
        return _token_of(url, answer)

    def _basic(self) -> str:
        # Both are form-encoded before they are joined (RFC 6749, 2.3.1).
        pair = (self._security.username, password(self._security))
        joined = ":".join(urllib.parse.quote_plus(part) for part in pair)
        return f"Basic {base64.b64encode(joined.encode()).decode()}"


@functools.cache
def token_source(security: KafkaSecurity) -> TokenSource:
    """One for all clients of this process."""
    return TokenSource(security)


def _said(error: urllib.error.HTTPError) -> str:
    """The endpoint's short name of the error (RFC 6749, 5.2), which holds no secret."""
    try:
        name = json.loads(error.read(_LARGEST_ANSWER))["error"]
    except (OSError, ValueError, TypeError, KeyError):
        return ""
    return f" ({name[:80]})" if isinstance(name, str) else ""


def _token_of(url: str, answer: bytes) -> tuple[str, float]:
    try:
        fields = json.loads(answer)
        token, life_s = fields["access_token"], float(fields.get("expires_in", _LIFE_S))
        if isinstance(token, str) and token and life_s > 0:
            return token, life_s
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise Unreachable(
        f"the token endpoint {url} answers without an access_token; correct "
        "kafka.security.token_url"
    )
