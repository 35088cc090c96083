"""Dead letters: records that were not accepted, with where they came from and why (law 9).

Written to ``dead-letters`` by the stream worker; read by operators (``everfresh dlq``). Key and
value are the original bytes; the original headers come first, then the headers named below. A dead
letter that is delivered twice after a crash names the same record both times.
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
"""Header of an event that was sent again: the :attr:`DeadLetter.identity` it had. An event without
it was never a dead letter."""

Headers = Sequence[tuple[str, bytes | None]]
_ADDED = {
    *(DEAD_TOPIC, DEAD_PARTITION, DEAD_OFFSET, DEAD_TIMESTAMP, DEAD_REASON, DEAD_DETAIL),
    *(DEAD_CUT_FROM, REDRIVEN_FROM),
}


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead letter, as read. ``place`` is its partition and offset in the dead-letter topic.

    ``topic``, ``partition``, ``offset`` and ``timestamp`` (broker append time, UTC ms) are those of
    the record that was not accepted; ``headers`` are that record's own. ``key`` and ``value`` are
    ``None`` where the record had none. ``cut_from`` is the length in bytes, key and headers
    included, of a record that was too long to keep whole; ``None`` where nothing was cut.
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
        """Names the rejected record; unique even where a topic was recreated and counts from 0."""
        return f"{self.topic}/{self.partition}/{self.offset}/{self.timestamp}"


def decode_dead_letter(
    place: tuple[int, int], key: bytes | None, value: bytes | None, headers: Headers
) -> DeadLetter | None:
    """``None`` for a record that everfresh did not write as a dead letter."""
    # A record that was sent again and refused again has each header twice: the last is the newest.
    added = {name: content or b"" for name, content in headers if name in _ADDED}
    try:
        text = {name: content.decode() for name, content in added.items()}
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
