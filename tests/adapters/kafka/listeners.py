"""Listeners that answer as a broker might: in Kafka's protocol, with or without TLS and a login."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

from everfresh.adapters.kafka.diagnosis import shown
from tests.certificates import Pair

API_VERSIONS, METADATA, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 3, 17, 36
LARGEST_REQUEST = 104_857_600
"""Of what promises more, such as the beginning of TLS, Kafka reads no further."""

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


def asked(connection: socket.socket) -> tuple[int, int, bytes] | None:
    """The request, its number and what follows; ``None`` where the client has gone."""
    head = _exactly(connection, 4)
    size = struct.unpack(">i", head)[0] if len(head) == 4 else LARGEST_REQUEST + 1
    if size > LARGEST_REQUEST:
        return None
    raw = _exactly(connection, size)
    request, _, number, name = struct.unpack_from(">hhih", raw)
    return request, number, raw[10 + name :]


def _exactly(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size and (more := connection.recv(size - len(read))):
        read += more
    return read


def reply(connection: socket.socket, number: int, body: bytes) -> None:
    connection.sendall(struct.pack(">ii", len(body) + 4, number) + body)


def text(words: str) -> bytes:
    return struct.pack(">h", len(words)) + words.encode()


OFFERED = ("SCRAM-SHA-512", "GSSAPI")


def kafka(
    *advertised: tuple[str, int],
    sasl: bool = False,
    offered: Sequence[str] = OFFERED,
    token: bytes = b"",
) -> Answer:
    """A broker that names these addresses, or wants a login first: ``token`` in one step."""

    def answer(connection: socket.socket) -> None:
        known = not sasl
        while (request := asked(connection)) is not None:
            kind, number, body = request
            if kind == API_VERSIONS:
                reply(connection, number, struct.pack(">hihhh", 0, 1, METADATA, 0, 12))
            elif kind == SASL_HANDSHAKE:
                (size,) = struct.unpack_from(">h", body)
                code = 34 if not sasl else 0 if body[2 : 2 + size].decode() in offered else 33
                names = b"".join(map(text, offered)) if sasl else b""
                reply(connection, number, struct.pack(">hi", code, len(offered) * sasl) + names)
            elif kind == SASL_AUTHENTICATE:
                known = body[4:] == token
                words = b"\xff\xff" if known else text("Authentication failed: Invalid username")
                reply(connection, number, struct.pack(">h", 58 * (not known)) + words + bytes(4))
            elif not known:
                connection.shutdown(socket.SHUT_RDWR)
            else:
                body = struct.pack(">i", len(advertised))
                for host, port in advertised:
                    body += struct.pack(">i", 1) + text(host) + struct.pack(">ih", port, -1)
                reply(connection, number, body + struct.pack(">ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)

    return answer


def with_tls(pair: Pair, inner: Answer, client_ca: str = "") -> Answer:
    """``inner`` behind a real handshake; with ``client_ca`` clients must show a certificate of it.
    A client without TLS is hung up on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)

    def answer(connection: socket.socket) -> None:
        if connection.recv(1, socket.MSG_PEEK) != b"\x16":
            connection.shutdown(socket.SHUT_RDWR)
            return
        with context.wrap_socket(connection, server_side=True) as secured:
            inner(secured)

    return answer
