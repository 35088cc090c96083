"""Text from outside made fit to be shown: on a terminal, in a log file, in an error's line."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` in one line that steers nothing: what is no visible sign or space is escaped.

    So ``\\x1b`` stands where an escape sequence would begin, ``\\n`` for a line's end, ``\\u202e``
    for a sign that turns the direction of reading, and ``\\udcff`` for a byte that is no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
