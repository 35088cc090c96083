"""The event: what producers write to the ``events`` topic and the stream worker reads.

Wire form: CloudEvents Kafka binding, binary mode. Headers carry ``ce_specversion``, ``ce_id``,
``ce_type``, ``ce_source``, ``ce_time`` and ``content-type``; the record key is the user id as
UTF-8 text; the value is the JSON object below. A record without the headers is accepted as long
as its value holds the same fields, so that any Kafka client can produce one, if
its partitioner is Kafka's murmur2 (:mod:`everfresh.contracts.partitioning`).
"""

from __future__ import annotations

from typing import Any

import msgspec

UserId = int | str
"""A signed 64-bit integer or a non-empty string. ``7`` and ``"7"`` are two users."""

ItemId = int | str
"""A signed 64-bit integer or a non-empty string. ``7`` and ``"7"`` are two items."""

MAX_ID_BYTES = 200
"""Longest user or item id, in UTF-8 bytes."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing a user did to an item.

    Written by producers, read by the stream worker alone. ``id`` is unique per event; ``type`` is
    one of ``events.actions`` in the settings; ``time`` is when it happened, in UTC milliseconds.
    Absent fields: no ``value`` means that the action has no magnitude; no ``request_id`` that it
    follows from no answer that is known; no ``attributes`` that there are none. Attributes stay in
    the log and do not become part of the state.
    """

    id: str
    type: str
    time: int
    user_id: UserId
    item_id: ItemId
    value: float | None = None
    request_id: str | None = None
    attributes: dict[str, Any] | None = None


def user_key(user_id: UserId) -> bytes:
    """The Kafka record key of a user: the id as UTF-8 text (law 1: one user, one partition)."""
    return str(user_id).encode()


def parse_id(text: str) -> int | str:
    """The id a person typed: canonical decimals are integers, JSON strings are unquoted.

    ``42`` is the integer, ``"42"`` (with the quotes) the string, ``abc`` the string.
    """
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    digits = text[1:] if text.startswith("-") else text
    if digits.isascii() and digits.isdigit() and str(int(text)) == text:
        return int(text)
    return text
