"""Tokens for OAUTHBEARER: asked for once, and what the endpoint has against it is one line."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest

from everfresh.adapters.kafka.admin import broker_answers
from everfresh.adapters.kafka.security.tokens import TokenSource, token_source
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity
from tests.adapters.kafka.listeners import Answer, kafka, listening
from tests.adapters.kafka.refusals import SECRET, said

HERE = "127.0.0.1"


class Endpoint:
    """A token endpoint on loopback. ``answers`` are status and body, the last one for ever."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        waiting = list(answers)
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                asked.append((self.headers["Authorization"], parse_qs(form)))
                status, body = waiting[0] if len(waiting) == 1 else waiting.pop(0)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((HERE, 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=[0.02])
        self._thread.start()
        self.url = f"http://{HERE}:{self._server.server_port}/token"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Callable[..., Endpoint]]:
    made: list[Endpoint] = []

    def make(*answers: tuple[int, Any]) -> Endpoint:
        made.append(Endpoint(*answers))
        return made[-1]

    yield make
    for each in made:
        each.close()


def with_tokens(url: str, **more: Any) -> KafkaSecurity:
    fields = {"protocol": "SASL_PLAINTEXT", "mechanism": "OAUTHBEARER", "token_url": url}
    return KafkaSecurity(**{**fields, "username": "app:1", "password": SECRET, **more})


def test_a_token_is_asked_for_once_while_it_lasts(endpoint: Callable[..., Endpoint]) -> None:
    made = endpoint((200, {"access_token": "one", "expires_in": 3600}))
    security = with_tokens(made.url, token_scope="kafka")
    source = token_source(security)
    assert token_source(security) is source
    assert [source.token(), source.token()] == ["one", "one"]
    ((how, form),) = made.asked
    assert base64.b64decode(how.removeprefix("Basic ")).decode() == f"app%3A1:{SECRET}"
    assert form == {"grant_type": ["client_credentials"], "scope": ["kafka"]}
    short = endpoint(
        (200, {"access_token": "one", "expires_in": 1e-9}), (200, {"access_token": "two"})
    )
    source = TokenSource(with_tokens(short.url))
    assert [source.token(), source.token(), source.token()] == ["one", "two", "two"]


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (401, {"error": "invalid_client"}, "HTTP 401 (invalid_client); correct kafka.security.us"),
        (500, {}, "HTTP 500; correct"),
        (302, {}, "HTTP 302; correct"),
        (200, {"token": "x"}, "answers without an access_token; correct kafka.security.token_url"),
        (200, ["x"], "answers without an access_token"),
    ],
)
def test_a_token_endpoint_that_refuses_is_said_before_kafka_is_asked(
    endpoint: Callable[..., Endpoint], status: int, body: Any, found: str
) -> None:
    made = endpoint((status, body))
    with listening(kafka(sasl=True, offered=["OAUTHBEARER"])) as servers:
        words = said(servers, with_tokens(made.url))
        assert f"the token endpoint {made.url}" in words
        assert found in words
        assert len(made.asked) == 1
        assert not broker_answers(Brokers(servers, with_tokens(made.url)))


def test_a_token_endpoint_that_is_away_is_said() -> None:
    answer: Answer = kafka(sasl=True, offered=["OAUTHBEARER"])
    with listening(answer) as servers:
        words = said(servers, with_tokens("http://localhost:1/token"))
    assert "the token endpoint http://localhost:1/token does not answer (" in words
