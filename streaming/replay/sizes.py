"""How much disk the events of a file will take in Kafka, told before the first is sent.

Windows are the larger part: each of a user's examples brings the events before it. How many there
are depends on how often users come again, so one user in sixteen is followed through the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from zlib import crc32

import msgspec

from everfresh.contracts.event import Event, UserId, user_key

_EVERY = 16
_MEASURED = 1_000
_HEADER_BYTES = 200
"""What the headers and the frame of an event's record take."""
_ENTRY_BYTES = 24
"""An entry of a history or a target, with a short id."""
_TARGET_BYTES = 18
_EXAMPLE_BYTES = 32


class Needed(msgspec.Struct, frozen=True):
    """Bytes, before compression: of the topics ``events`` and ``windows``, and of users' state."""

    events: int
    windows: int
    state: int


def needed(events: Iterable[Event], total: int, window: int, history_length: int) -> Needed:
    """What the first ``total`` events need, in windows of so many events."""
    seen: dict[UserId, tuple[int, int]] = {}
    examples = contexts = 0
    measured = [len(msgspec.json.encode(event)) for event in islice(events, _MEASURED)]
    for place, event in enumerate(islice(events, total)):
        user = event.user_id
        if crc32(user_key(user)) % _EVERY:
            continue
        number, last = seen.get(user, (0, -1))
        if place // window != last:
            examples += 1
            contexts += min(number, history_length)
        seen[user] = number + 1, place // window
    kept = sum(min(number, history_length) for number, _ in seen.values())
    mean = sum(measured) / max(1, len(measured))
    targets = total * (_ENTRY_BYTES + _TARGET_BYTES)
    return Needed(
        round(total * (mean + _HEADER_BYTES)),
        targets + _EVERY * (contexts * _ENTRY_BYTES + examples * _EXAMPLE_BYTES),
        _EVERY * kept * _ENTRY_BYTES,
    )
