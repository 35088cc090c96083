"""What is no Kafka as everfresh speaks it is said for what it is, with its address."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from everfresh.adapters.kafka.admin import broker_answers, connect_admin
from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.exposure_sink import KafkaExposureSink
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.streaming.producer import EventProducer
from tests.adapters.kafka.listeners import Answer, kafka, listening, with_tls
from tests.certificates import Authority


@pytest.fixture(autouse=True)
def _no_resolver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve: Any = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any, **more: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def tls_alert(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46")
    connection.shutdown(socket.SHUT_RDWR)


def http(connection: socket.socket) -> None:
    read = b""
    while b"\n" not in read:  # a server that waits for the end of a line
        more = connection.recv(4096)
        if not more:
            return
        read += more
    connection.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")


def greets(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-server\r\n")
    connection.recv(4096)


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def hangs_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """A real handshake, with a certificate of our own."""
    authority = Authority(tmp_path_factory.mktemp("tls"))
    return with_tls(authority.issue("broker", "127.0.0.1"), silent)


NOTHING = "127.0.0.1:1"
"""Nothing listens there."""


def said(servers: str, wait_s: float = 60.0) -> str:
    with pytest.raises(Unreachable) as caught:
        require_broker(Brokers(servers), wait_s=wait_s)
    words = str(caught.value)
    assert words.startswith(f"no Kafka broker answers at {servers}: ")
    assert "\n" not in words
    return words


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (tls_alert, "it speaks TLS, and kafka.security.protocol is PLAINTEXT; set it to SSL"),
        (
            kafka(sasl=True),
            r"it wants a login \(SASL: SCRAM-SHA-512, GSSAPI\), and kafka.security.protocol is",
        ),
        (kafka(("nowhere.invalid", 9092)), r"nowhere\.invalid:9092, which has a host that is not"),
        (kafka(("127.0.0.1", 1), ("127.0.0.1", 2)), r"to 127\.0\.0\.1:1, which accepts no conne"),
        (kafka(("::1", 1)), r"sends clients on to \[::1\]:1, which"),
        (greets, r"it speaks another protocol: its first bytes are b'SSH-2\.0-"),
        (hangs_up, "accepts a connection and hangs up"),
    ],
)
def test_what_is_there_is_said(answer: Answer, found: str) -> None:
    with listening(answer) as servers:
        words = said(servers)
    assert re.search(found, words), words


def test_a_tls_listener_that_hangs_up_is_seen_by_its_handshake(tls: Answer) -> None:
    with listening(tls) as servers:
        assert "it speaks TLS" in said(servers)


@pytest.mark.parametrize(("answer", "found"), [(http, "speaks HTTP"), (silent, "says nothing")])
def test_who_says_nothing_is_waited_for_only_so_long(answer: Answer, found: str) -> None:
    with listening(answer) as servers:
        assert found in said(servers, wait_s=0.2)


@pytest.mark.parametrize(
    ("servers", "found"),
    [
        (NOTHING, "accepts no connections (Connection refused); start it, or correct kafka."),
        ("[::1]:1", "accepts no connections"),
        ("nowhere.invalid:9092", "has a host that is not known here"),
    ],
)
def test_where_nothing_is_it_is_said_why(servers: str, found: str) -> None:
    assert found in said(servers)


def test_of_several_addresses_each_is_named_and_one_is_enough() -> None:
    with listening(tls_alert) as secured, listening(kafka()) as broker:
        words = said(f"{NOTHING},{secured}")
        assert f"{secured} speaks TLS" in words
        assert "accepts no connections" in words
        require_broker(Brokers(f"{secured},{broker}"))


def test_a_broker_is_one_whatever_else_it_says() -> None:
    with listening(silent) as other, listening(kafka(("127.0.0.1", int(other.split(":")[1])))) as b:
        require_broker(Brokers(b))
    with pytest.raises(SettingsError, match=r"^kafka\.bootstrap_servers must be host:port"):
        require_broker(Brokers("broker"))


def test_every_door_says_it() -> None:
    doors: list[Callable[[str], object]] = [
        lambda servers: connect_admin(Brokers(servers)),
        lambda servers: connect_consumer(Brokers(servers), []),
        lambda servers: KafkaExposureSink(Brokers(servers), "t."),
        lambda servers: KafkaReportSink(Brokers(servers), "t."),
        EventProducer,
    ]
    with listening(kafka(sasl=True)) as servers:
        for door in doors:
            with pytest.raises(Unreachable, match=rf"at {servers}: it wants a login"):
                door(servers)
        assert not broker_answers(Brokers(servers))
