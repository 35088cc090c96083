"""What is no Kafka as everfresh speaks it is said for what it is, with its address."""

from __future__ import annotations

import contextlib
import datetime
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from everfresh.adapters.kafka.admin import broker_answers, connect_admin
from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.adapters.kafka.diagnosis import require_broker, shown
from everfresh.adapters.kafka.exposure_sink import KafkaExposureSink
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.streaming.producer import EventProducer

API_VERSIONS, METADATA, SASL_HANDSHAKE = 18, 3, 17
Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def listening(answer: Answer) -> Iterator[str]:
    """A port of this machine where every connection is answered so; ended with the block."""
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error):
            answer(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connections.append(door.accept()[0])
                threads.append(threading.Thread(target=one, args=connections[-1:]))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield shown(door.getsockname())
        finally:
            door.shutdown(socket.SHUT_RDWR)
            threads[0].join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for connection in connections:
                connection.close()


@pytest.fixture(autouse=True)
def _no_resolver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve: Any = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any, **more: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def asked(connection: socket.socket) -> tuple[int, int] | None:
    """The request and its number; ``None`` where the client has gone."""
    size = connection.recv(4, socket.MSG_WAITALL)
    if len(size) < 4:
        return None
    raw = connection.recv(struct.unpack(">i", size)[0], socket.MSG_WAITALL)
    request, _, number = struct.unpack_from(">hhi", raw)
    return request, number


def reply(connection: socket.socket, number: int, body: bytes) -> None:
    connection.sendall(struct.pack(">ii", len(body) + 4, number) + body)


def text(words: str) -> bytes:
    return struct.pack(">h", len(words)) + words.encode()


def kafka(*advertised: tuple[str, int], sasl: bool = False) -> Answer:
    """A broker that names these addresses, or wants a login first."""

    def answer(connection: socket.socket) -> None:
        while (request := asked(connection)) is not None:
            kind, number = request
            if kind == API_VERSIONS:
                reply(connection, number, struct.pack(">hihhh", 0, 1, METADATA, 0, 12))
            elif kind == SASL_HANDSHAKE:
                names = text("SCRAM-SHA-512") + text("GSSAPI")
                body = struct.pack(">hi", 33, 2) + names if sasl else struct.pack(">hi", 34, 0)
                reply(connection, number, body)
            elif sasl:
                connection.shutdown(socket.SHUT_RDWR)
            else:
                body = struct.pack(">i", len(advertised))
                for host, port in advertised:
                    body += struct.pack(">i", 1) + text(host) + struct.pack(">ih", port, -1)
                reply(connection, number, body + struct.pack(">ii", 1, 0))

    return answer


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
    """A real handshake, with a certificate of our own; a client without TLS is hung up on."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    made = made.public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - datetime.timedelta(days=1))
    made = made.not_valid_after(now + datetime.timedelta(days=1))
    pem: Path = tmp_path_factory.mktemp("tls") / "broker.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def answer(connection: socket.socket) -> None:
        if connection.recv(1, socket.MSG_PEEK) != b"\x16":
            connection.shutdown(socket.SHUT_RDWR)
            return
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    return answer


NOTHING = "127.0.0.1:1"
"""Nothing listens there."""


def said(servers: str, wait_s: float = 60.0) -> str:
    with pytest.raises(Unreachable) as caught:
        require_broker(servers, wait_s=wait_s)
    words = str(caught.value)
    assert words.startswith(f"no Kafka broker answers at {servers}: ")
    assert "\n" not in words
    return words


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (tls_alert, "it speaks TLS, and everfresh has no settings for TLS yet; name a PLAINTEXT"),
        (kafka(sasl=True), r"it wants a login \(SASL: SCRAM-SHA-512, GSSAPI\), and everfresh has"),
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
        require_broker(f"{secured},{broker}")


def test_a_broker_is_one_whatever_else_it_says() -> None:
    with listening(silent) as other, listening(kafka(("127.0.0.1", int(other.split(":")[1])))) as b:
        require_broker(b)
    with pytest.raises(SettingsError, match=r"^kafka\.bootstrap_servers must be host:port"):
        require_broker("broker")


def test_every_door_says_it() -> None:
    doors: list[Callable[[str], object]] = [
        connect_admin,
        lambda servers: connect_consumer(servers, []),
        lambda servers: KafkaExposureSink(servers, "t."),
        lambda servers: KafkaReportSink(servers, "t."),
        EventProducer,
    ]
    with listening(kafka(sasl=True)) as servers:
        for door in doors:
            with pytest.raises(Unreachable, match=rf"at {servers}: it wants a login"):
                door(servers)
        assert not broker_answers(servers)
