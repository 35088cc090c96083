"""The id of an event that has none: made from all its fields, and from how often it came before."""

from __future__ import annotations

import hashlib
from collections import Counter

import msgspec

from everfresh.contracts.event import Event

_ENCODER = msgspec.json.Encoder()


class ContentIds:
    """The ids of events in time order, asked for one by one from the first.

    Only events of one time can be the same, and these follow each other: so memory holds those of
    one time. An event has the same id in every file of every format, which is why the ids of all
    begin as those of the first format did.
    """

    def __init__(self) -> None:
        self._time: int | None = None
        self._times_had: Counter[str] = Counter()

    def of(self, event: Event) -> str:
        """The id of the next event, whose own is empty."""
        if event.time != self._time:
            self._time = event.time
            self._times_had.clear()
        content = hashlib.sha256(_ENCODER.encode(event)).hexdigest()[:16]
        self._times_had[content] += 1
        had = self._times_had[content]
        return f"jsonl:{content}:{had}" if had > 1 else f"jsonl:{content}"
