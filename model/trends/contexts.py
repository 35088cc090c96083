"""After which events items are scored, and which weights of the pool hold there.

The clock is the stream's own: the median time of the newest events that were counted. So it is part
of what an answer names (its version and its tail), the same offline and live, and one producer
whose clock is wrong does not move it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Self

import numpy as np

from everfresh.model.metrics import Mask
from everfresh.model.trends.counts import Ints

PLACE_BEGINS = (0, 1, 2, 3, 5, 10)
"""Numbers of known events from which a place of its own begins."""
BACK = len(PLACE_BEGINS)
"""The place of a user who comes back: the last event is :data:`PAUSE_S` or more ago."""
PLACES = BACK + 1
PAUSE_S = 1_800
LATELY = 20
"""Events of a user that are lately."""
NEWEST = 64
"""Events whose median time is the stream's."""


@dataclass(frozen=True)
class Sightings:
    """Events as trends count them, in the log's order: their ``rows`` ``(n,)``, 0 for an item
    without one; those of the same user's events ``before`` them, 0 for none; their own ``times``
    in UTC seconds; and whether each ``begins`` a visit."""

    rows: Ints
    before: Ints
    times: Ints
    begins: Mask

    @classmethod
    def of(cls, rows: Ints, before: Ints, times: Ints, at: Ints) -> Self:
        """Where the same user's events before were ``at`` these UTC seconds, 0 where there were
        none: a visit begins with a user's first event and after each pause."""
        return cls(rows, before, times, (at == 0) | (times - at >= PAUSE_S))

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, part: slice | Ints) -> Self:
        """Some of them."""
        return type(self)(self.rows[part], self.before[part], self.times[part], self.begins[part])


@dataclass(frozen=True)
class Contexts:
    """``last`` ``(n,)`` is the row of the last event, 0 where there is none or it has no row,
    ``known`` ``(n,)`` the number of events before, ``at`` ``(n,)`` the last one's time in UTC
    seconds, 0 for none, and ``lately`` ``(n, LATELY)`` the rows of the newest, filled up with 0."""

    last: Ints
    known: Ints
    at: Ints
    lately: Ints

    def part(self, part: slice | Ints) -> Self:
        """Some of them."""
        return type(self)(self.last[part], self.known[part], self.at[part], self.lately[part])

    @classmethod
    def before(cls, rows: Ints, times: Ints, first: int) -> Self:
        """What is before each of one user's events from the one with number ``first`` on, whose
        ``rows`` and ``times`` are all of them, in order."""
        known = np.arange(first, len(rows))
        # Once per user and window: numpy's own sliding window costs five times as much.
        past = np.zeros(LATELY + len(rows), np.int64)
        past[LATELY:] = rows
        lately = past[known[:, np.newaxis] + np.arange(LATELY)]
        at = np.zeros(len(known), np.int64)
        begins = int(first == 0)
        at[begins:] = times[first - 1 + begins : len(rows) - 1]
        return cls(lately[:, -1], known, at, lately)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """One after another."""
        none = np.zeros(0, np.int64)
        return cls(
            np.concatenate([none, *(part.last for part in parts)]),
            np.concatenate([none, *(part.known for part in parts)]),
            np.concatenate([none, *(part.at for part in parts)]),
            np.concatenate([none.reshape(0, LATELY), *(part.lately for part in parts)]),
        )


def places_of(contexts: Contexts, time: int, places: int = PLACES) -> Ints:
    """Which weights hold for each ``(n,)`` at the stream's ``time``, 0 where it is not known, where
    there are weights for so many ``places``."""
    found: Ints = np.searchsorted(PLACE_BEGINS, contexts.known, side="right") - 1
    if places > BACK:
        pauses = (contexts.known > 0) & (contexts.at > 0) & (time - contexts.at >= PAUSE_S)
        found[pauses] = BACK
    return found


def place_of(known: int, at: int, time: int, places: int) -> int:
    """The same of one user."""
    if places > BACK and known and at > 0 and time - at >= PAUSE_S:
        return BACK
    return bisect_right(PLACE_BEGINS, known) - 1


def newest_times(newest: Ints, times: Ints) -> Ints:
    """The newest event times, of those before, ``newest``, and the next ones in order."""
    return np.append(newest, times)[-NEWEST:]


def stream_time(newest: Ints) -> int:
    """The stream's time by these; 0 where there are none."""
    return int(np.sort(newest)[len(newest) // 2]) if len(newest) else 0
