"""Whether the stream worker would accept an event of a file: by the same code, no rules of its own.

A file is checked line by line before anything is done with it, so that what it holds cannot stop
a replay or an evaluation half-way.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from everfresh.contracts.event import Event
from everfresh.contracts.event_codec import EventDecoder, in_the_future
from everfresh.contracts.settings import EventSettings

EventCheck = Callable[[Event], object]
"""Raises ``EventRejected`` for an event that the worker would not accept."""


def event_check(settings: EventSettings, now_ms: int | None = None) -> EventCheck:
    """The rules of these settings, for events that reach the log at ``now_ms``, UTC; or now."""
    appended = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    encode = EventDecoder(settings.actions, settings.max_bytes).encode
    latest = appended + round(settings.ahead_s * 1000)

    def check(event: Event) -> None:
        encode(event)
        if event.time > latest:
            raise in_the_future(event.time, appended)

    return check
