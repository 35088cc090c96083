"""A few requests of Kafka's protocol, in the oldest form that brokers still take.

For :mod:`everfresh.adapters.kafka.diagnosis` alone, which has to see what a client hides.
"""

from __future__ import annotations

import itertools
import socket
import struct

_API_VERSIONS, _METADATA, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 3, 17, 36
_CLIENT = b"everfresh"
_MOST_BYTES = 16 * 1024 * 1024
ILLEGAL_SASL_STATE = 34
"""What a listener answers that wants no login."""
_NEWEST_METADATA = 8  # the next one has another form

Versions = dict[int, tuple[int, int]]


class NotKafka(Exception):
    """What came is no answer to the request. ``first_bytes`` is how it begins."""

    def __init__(self, first_bytes: bytes) -> None:
        super().__init__(repr(first_bytes))
        self.first_bytes = first_bytes


class WireConnection:
    """Asks one request after another. ``OSError`` where the other side hangs up or is silent
    (``TimeoutError``), ``NotKafka`` where it answers otherwise."""

    def __init__(self, connection: socket.socket, wait_s: float) -> None:
        connection.settimeout(wait_s)
        self._connection = connection
        self._numbers = itertools.count(0x0EF2)

    def versions(self) -> Versions:
        """Lowest and highest version of each request that the broker takes."""
        answer = self._ask(_API_VERSIONS, 0, b"")
        answer.number(2)  # an error code, with which it tells its versions all the same
        rows = range(answer.number(4))
        return {answer.number(2): (answer.number(2), answer.number(2)) for _ in rows}

    def brokers(self, versions: Versions) -> list[tuple[str, int]]:
        """The addresses that the broker sends its clients on to."""
        lowest, highest = versions.get(_METADATA, (1, 1))
        version = min(highest, max(lowest, 1))
        if version > _NEWEST_METADATA:
            return []
        body = struct.pack(">i", 0)  # of no topic
        body += b"\0" if version >= 4 else b""
        body += b"\0\0" if version >= 8 else b""
        answer = self._ask(_METADATA, version, body)
        if version >= 3:
            answer.number(4)
        brokers = []
        for _ in range(answer.number(4)):
            answer.number(4)
            brokers.append((answer.text(), answer.number(4)))
            answer.text()
        return brokers

    def sasl_handshake(self, mechanism: str) -> tuple[int, list[str]]:
        """An error code, 0 for none, and the ways to log in that the broker offers."""
        answer = self._ask(_SASL_HANDSHAKE, 1, _text(mechanism.encode()))
        code = answer.number(2)
        return code, [answer.text() for _ in range(answer.number(4))]

    def sasl_authenticate(self, token: bytes) -> tuple[int, str, bytes]:
        """One step of the login: an error code, 0 for none, the broker's words, and its token."""
        answer = self._ask(_SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        return answer.number(2), answer.text(), answer.binary()

    def _ask(self, request: int, version: int, body: bytes) -> _Answer:
        number = next(self._numbers)
        message = struct.pack(">hhi", request, version, number) + _text(_CLIENT) + body
        self._connection.sendall(struct.pack(">i", len(message)) + message)
        head = self._read(8, b"")
        size, answered = struct.unpack(">ii", head)
        if answered != number or not 4 <= size <= _MOST_BYTES:
            raise NotKafka(head)
        return _Answer(self._read(size - 4, head))

    def _read(self, size: int, before: bytes) -> bytes:
        read = bytearray()
        while len(read) < size:
            more = self._connection.recv(size - len(read))
            if not more:
                if read and not before:
                    raise NotKafka(bytes(read))
                raise ConnectionResetError("the other side hung up")
            read += more
        return bytes(read)


class _Answer:
    """Reads an answer's fields in order; ``NotKafka`` where it ends before."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big", signed=True)

    def text(self) -> str:
        return self._take(max(0, self.number(2))).decode(errors="replace")

    def binary(self) -> bytes:
        return self._take(max(0, self.number(4)))

    def _take(self, size: int) -> bytes:
        taken = self._raw[self._at : self._at + size]
        if len(taken) < size:
            raise NotKafka(self._raw[:16])
        self._at += size
        return taken


def _text(raw: bytes) -> bytes:
    return struct.pack(">h", len(raw)) + raw
