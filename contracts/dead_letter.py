"""Dead letters: records that were not accepted, with where they came from and why (law 9).

Written to ``dead-letters`` by the stream worker; read by operators (``everfresh dlq``). Key and
value are the original bytes; the original headers come first, then the headers named below, in
their order. A dead letter that is delivered twice after a crash names the same record both times.

Whoever sends a record may give it headers of any name. So a header is ours by its place, at the
end, and not by its name: what stands before is the record's own, and is shown, not believed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from everfresh.contracts.foreign import MAX_TIME_MS

DEAD_TOPIC = "dead_topic"
DEAD_PARTITION = "dead_partition"
DEAD_OFFSET = "dead_offset"
DEAD_TIMESTAMP = "dead_timestamp"
DEAD_REASON = "dead_reason"
DEAD_DETAIL = "dead_detail"
DEAD_CUT_FROM = "dead_cut_from"

REDRIVEN_FROM = "redriven_from"
"""Header of an event that was sent again: the :attr:`DeadLetter.identity` it had."""
REDRIVEN_BY = "redriven_by"
"""Header after it, the last one of all: the name of the batch in which it was sent again."""

Headers = Sequence[tuple[str, bytes | None]]
_ALWAYS = (DEAD_TOPIC, DEAD_PARTITION, DEAD_OFFSET, DEAD_TIMESTAMP, DEAD_REASON, DEAD_DETAIL)
_ADDED = ((*_ALWAYS, DEAD_CUT_FROM), _ALWAYS)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)


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
    for names in _ADDED:
        own, added = headers[: -len(names)], headers[-len(names) :]
        if tuple(name for name, _ in added) == names:
            break
    else:
        return None
    try:
        text = {name: (content or b"").decode() for name, content in added}
        cut = text.get(DEAD_CUT_FROM)
        return DeadLetter(
            place,
            _matching(_NAME, text[DEAD_TOPIC]),
            _number(text[DEAD_PARTITION]),
            _number(text[DEAD_OFFSET]),
            _number(text[DEAD_TIMESTAMP], MAX_TIME_MS),
            _matching(_NAME, text[DEAD_REASON]),
            text[DEAD_DETAIL],
            key,
            value,
            [(name, content or b"") for name, content in own],
            None if cut is None else _number(cut),
        )
    except ValueError:
        return None


def _matching(form: re.Pattern[str], text: str) -> str:
    if not form.fullmatch(text):
        raise ValueError(text)
    return text


def _number(text: str, most: int = 2**63) -> int:
    number = int(_matching(_NUMBER, text))
    if number > most:
        raise ValueError(text)
    return number
