"""The join's own records in a partition's state, and their keys.

    Jh                  :class:`JoinHead`
    Jr + request        exposures of a request, oldest first: ``list[StoredExposure]``
    Jf + request + off  one event that named the request: :class:`StoredFeedback`
    Jt + due + request  when to look at a request again; without a value

``request`` is a 128-bit hash of user and request id, so that keys stay short whatever clients send
(among a billion open requests two are equal with a probability of 10^-21). Times and offsets are
big-endian, so that key order is their order.
"""

from __future__ import annotations

import hashlib
import struct

import msgspec

from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import encode_id
from everfresh.streaming.join.matching import StoredExposure, StoredFeedback
from everfresh.streaming.state.key_layout import JOIN_PREFIX

JOIN_KEY = JOIN_PREFIX + b"h"
EXPOSURES_PREFIX = JOIN_PREFIX + b"r"
FEEDBACK_PREFIX = JOIN_PREFIX + b"f"
DUE_PREFIX = JOIN_PREFIX + b"t"
JOIN_FORMAT = 1

_HASH_BYTES = 16
_NUMBER = struct.Struct(">Q")
_ENCODER = msgspec.msgpack.Encoder()
_EXPOSURES: msgspec.msgpack.Decoder[list[StoredExposure]] = msgspec.msgpack.Decoder(
    list[StoredExposure]
)
_FEEDBACK = msgspec.msgpack.Decoder(StoredFeedback)


class JoinHead(msgspec.Struct, array_like=True):
    """How far the join has come. Written with every batch, so that law 2 holds for both logs.

    ``topic_id`` names the exposures topic. ``events`` and ``exposures`` are the offsets after the
    last record seen, ``events_ms`` and ``exposures_ms`` the log times reached (the greatest append
    time so far), ``looked_ms`` the time up to which due requests have been looked at.
    """

    format: int
    topic_id: str
    events: int
    exposures: int
    events_ms: int = 0
    exposures_ms: int = 0
    looked_ms: int = 0

    @property
    def clock(self) -> int:
        """Append time up to which both logs have been read."""
        return min(self.events_ms, self.exposures_ms)


_HEAD = msgspec.msgpack.Decoder(JoinHead)


def request_of(user: UserId, request_id: str) -> bytes:
    """The hash that stands for one request of one user."""
    # 0xff ends a user id: it occurs in no UTF-8, and integer ids are of one length.
    named = encode_id(user) + b"\xff" + request_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(named, digest_size=_HASH_BYTES).digest()


def feedback_key(request: bytes, offset: int) -> bytes:
    """The key of one piece of feedback."""
    return FEEDBACK_PREFIX + request + _NUMBER.pack(offset)


def due_key(due: int, request: bytes = b"") -> bytes:
    """The key of a reminder; without a request, where the reminders for ``due`` begin."""
    return DUE_PREFIX + _NUMBER.pack(due) + request


def due_of(key: bytes) -> tuple[int, bytes]:
    """Time and request of a reminder."""
    begin = len(DUE_PREFIX)
    return int(_NUMBER.unpack_from(key, begin)[0]), key[begin + _NUMBER.size :]


def encode(record: JoinHead | StoredFeedback | list[StoredExposure]) -> bytes:
    """Msgpack bytes."""
    return _ENCODER.encode(record)


def decode_join_head(raw: bytes) -> JoinHead:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _HEAD.decode(raw)


def decode_exposures(raw: bytes) -> list[StoredExposure]:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _EXPOSURES.decode(raw)


def decode_feedback(raw: bytes) -> StoredFeedback:
    """``msgspec.DecodeError`` on foreign bytes."""
    return _FEEDBACK.decode(raw)
