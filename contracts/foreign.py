"""What others wrote: decodes a record of one of our topics (law 9), and makes text fit to be shown.

Every topic that is read is input. Whatever bytes a record has, decoding it gives a record of the
right types and within its bounds, or :class:`ForeignRecord` and nothing else.

It may be of a newer release. Formats have numbers: a number says what a reader must understand, so
a writer writes the smallest that its content needs, and who uses nothing new can go back to the
release before. A newer format may be of another shape, so where bytes cannot be decoded a reader
looks for the number alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, TypeVar

import msgspec

from everfresh.contracts.errors import ForeignRecord, NewerRecord

MAX_TIME_MS = 253_402_300_799_999
"""The end of year 9999; a larger time was most likely meant in micro- or nanoseconds."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number of things, an offset, a version."""
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
"""UTC milliseconds since 1970."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)
"""msgspec's own errors, and what nesting without end or broken UTF-8 raise from beneath it."""

NEWER = (
    "a newer release of everfresh wrote it: upgrade this part, or run the release that wrote it "
    '(docs/operate.md, "Which releases may meet")'
)
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


class _Named(msgspec.Struct):
    format: int


class _First(msgspec.Struct, array_like=True):
    format: int


Look = Callable[[bytes], _Named | _First]
JSON: Look = msgspec.json.Decoder(_Named).decode
"""Looks for the number in a JSON object."""
MAP: Look = msgspec.msgpack.Decoder(_Named).decode
"""Looks for it in a map of msgpack."""
ARRAY: Look = msgspec.msgpack.Decoder(_First).decode
"""Looks for it at the front of an array of msgpack."""


def advice(found: int, reads: Collection[int], older: str) -> str:
    """What to do about a format that is not among those that this release ``reads``; ``older`` is
    for one of an earlier release."""
    return NEWER if found > max(reads) else older


def refuse_newer(what: str, raw: bytes | None, reads: Collection[int], look: Look) -> None:
    """``NewerRecord`` where a record that could not be decoded is of a format beyond those that
    this release ``reads``."""
    if said := newer(raw, reads, look):
        raise NewerRecord(f"{what}: {said}", look(raw or b"").format)


def newer(raw: bytes | None, reads: Collection[int], look: Look) -> str:
    """Which format bytes have that could not be decoded, and what to do, where it is beyond all
    that this release ``reads``; empty for any other bytes."""
    try:
        found = look(raw or b"").format
    except UNREADABLE:
        return ""
    if found <= max(reads):
        return ""
    return f"format {max(reads)} expected, or an earlier one, found {found}; {NEWER}"
