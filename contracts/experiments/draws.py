"""Chance that can be computed again: of an answer, by experiment, user and request."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import shake_256

from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import encode_id

_FIRST = 32
"""Bytes that are drawn at once: the coins of 256 rounds."""


def draw_bytes(seed: str, user: UserId, request_id: str, length: int) -> bytes:
    """``length`` even random bytes (SHAKE-256), the same for the same three; a longer draw begins
    with the shorter one."""
    # 0xff ends a text, since it occurs in no UTF-8; users 7 and "7" differ.
    named = b"\xff".join(
        (seed.encode(), encode_id(user), request_id.encode("utf-8", "surrogatepass"))
    )
    return shake_256(named).digest(length)


def coins(seed: str, user: UserId, request_id: str) -> Iterator[bool]:
    """Fair coins without end, the same for the same three."""
    length, used = _FIRST, 0
    while True:
        for byte in draw_bytes(seed, user, request_id, length)[used:]:
            for bit in range(8):
                yield bool(byte >> bit & 1)
        length, used = 2 * length, length
