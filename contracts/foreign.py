"""What others wrote: decodes a record of one of our topics (law 9), and makes text fit to be shown.

Every topic that is read is input. Whatever bytes a record has, decoding it gives a record of the
right types and within its bounds, or :class:`ForeignRecord` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

from everfresh.contracts.errors import ForeignRecord

MAX_TIME_MS = 253_402_300_799_999
"""The end of year 9999; a larger time was most likely meant in micro- or nanoseconds."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number of things, an offset, a version."""
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
"""UTC milliseconds since 1970."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)
"""msgspec's own errors, and what nesting without end or broken UTF-8 raise from beneath it."""

_REASON_CHARACTERS = 200
_Decoded = TypeVar("_Decoded")


def decoded(decode: Callable[[bytes], _Decoded], raw: bytes | None) -> _Decoded:
    """What ``decode`` makes of the bytes; ``ForeignRecord`` whatever it raises."""
    if raw is None:
        raise ForeignRecord("it has no value")
    try:
        return decode(raw)
    except UNREADABLE as error:
        raise ForeignRecord(printable(str(error))[:_REASON_CHARACTERS]) from None


def printable(text: str) -> str:
    """``text`` in one line that steers nothing: what is no visible sign or space is escaped.

    So ``\\x1b`` stands where an escape sequence would begin, ``\\n`` for a line's end, ``\\u202e``
    for a sign that turns the direction of reading, and ``\\udcff`` for a byte that is no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
