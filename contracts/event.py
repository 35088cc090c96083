"""The event: what producers write to the ``events`` topic and the stream worker reads.

Wire form: CloudEvents Kafka binding, binary mode. Headers carry ``ce_specversion``, ``ce_id``,
``ce_type``, ``ce_source``, ``ce_time`` and ``content-type``; the record key is the user id as
UTF-8 text; the value is the JSON object below. A record without the headers is accepted as long
as its value holds the same fields, so that any Kafka client can produce one, if
its partitioner is Kafka's murmur2 (:mod:`everfresh.contracts.partitioning`).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from everfresh.contracts.errors import SettingsError

UserId = int | str
"""A signed 64-bit integer or a non-empty string. ``7`` and ``"7"`` are two users."""

ItemId = int | str
"""A signed 64-bit integer or a non-empty string. ``7`` and ``"7"`` are two items."""

MAX_ID_BYTES = 200
"""Longest user or item id, in UTF-8 bytes."""

_ABOVE = 2**63
_DIGITS = 20
"""Signs of the longest number of 64 bits, its minus among them."""


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
    ``SettingsError`` for what no event can have as its id.
    """
    quoted = len(text) >= 2 and text[0] == text[-1] == '"'
    meant = text[1:-1] if quoted else text
    if not quoted and re.fullmatch(r"0|-?[1-9][0-9]*", text):
        # Longer ones are not read: Python refuses numbers of thousands of digits.
        number = int(text) if len(text) <= _DIGITS else _ABOVE
        if -_ABOVE <= number < _ABOVE:
            return number
        raise SettingsError(
            f"a number that is an id lies between -2^63 and 2^63 - 1, found one of {len(text)} "
            "digits; put it in quotes ('\"…\"') if the id is text"
        )
    try:
        size = len(meant.encode())
    except UnicodeEncodeError:
        raise SettingsError(f"an id is UTF-8 text, found {ascii(meant)[:80]}") from None
    if not 1 <= size <= MAX_ID_BYTES:
        raise SettingsError(
            f"an id has 1 to {MAX_ID_BYTES} bytes of UTF-8 text, found {size}; `everfresh dlq "
            "list` shows events that were refused for theirs"
        )
    return meant
