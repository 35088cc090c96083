"""Dead letters on their topic: what was not accepted, with where it came from and why (law 9).

Written by the stream worker; read by operators (``everfresh dlq``). Key and value are the original
bytes, the original headers stand in front, and the headers below follow. A letter that is delivered
twice after a crash carries the same place and time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

DEAD_TOPIC = "dead_topic"
DEAD_PARTITION = "dead_partition"
DEAD_OFFSET = "dead_offset"
DEAD_TIMESTAMP = "dead_timestamp"
DEAD_REASON = "dead_reason"
DEAD_DETAIL = "dead_detail"
DEAD_CUT_FROM = "dead_cut_from"

REDRIVEN_FROM = "redriven_from"
"""Header of an event that was sent again: the :attr:`DeadLetter.identity` it had."""

Headers = Sequence[tuple[str, bytes | None]]
_ADDED = {
    *(DEAD_TOPIC, DEAD_PARTITION, DEAD_OFFSET, DEAD_TIMESTAMP, DEAD_REASON, DEAD_DETAIL),
    *(DEAD_CUT_FROM, REDRIVEN_FROM),
}


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead letter. ``place`` is its own partition and offset in the dead-letter topic.

    ``topic``, ``partition``, ``offset`` and ``timestamp`` (broker append time, UTC ms) are those of
    the record that was not accepted; ``headers`` are its own alone. ``cut_from`` is the length in
    bytes, key and headers included, of a record that was too long to keep whole, else ``None``.
    """

    place: tuple[int, int]
    topic: str
    partition: int
    offset: int
    timestamp: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    cut_from: int | None = None

    @property
    def identity(self) -> str:
        """Names the rejected record, also where a recreated topic counts from 0 again."""
        return f"{self.topic}/{self.partition}/{self.offset}/{self.timestamp}"


def decode_dead_letter(
    place: tuple[int, int], key: bytes | None, value: bytes | None, headers: Headers
) -> DeadLetter | None:
    """``None`` for a record that is no dead letter of ours."""
    # Of a record that came back and was refused again, the last of each name are the newest.
    said = {name: content or b"" for name, content in headers if name in _ADDED}
    try:
        text = {name: content.decode() for name, content in said.items()}
        cut = text.get(DEAD_CUT_FROM)
        return DeadLetter(
            place,
            text[DEAD_TOPIC],
            int(text[DEAD_PARTITION]),
            int(text[DEAD_OFFSET]),
            int(text[DEAD_TIMESTAMP]),
            text[DEAD_REASON],
            text.get(DEAD_DETAIL, ""),
            key,
            value,
            [(name, content or b"") for name, content in headers if name not in _ADDED],
            None if cut is None else int(cut),
        )
    except (KeyError, ValueError):
        return None
