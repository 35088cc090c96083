"""The tail: events after a version's window, counted so that an answer is fresher than its version.

Counted by blocks of events, in the order of :func:`log_order`. So a tail is a function of the
version and of the events in it: the same numbers, bit for bit, offline and live, however the events
arrived. A block costs what its events and the rows they touch cost; a table looks at all rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from everfresh.model.trends.contexts import (
    Contexts,
    Sightings,
    newest_times,
    places_of,
    stream_time,
)
from everfresh.model.trends.counts import LIVES, FadingCounts, Floats, Ints, fading
from everfresh.model.trends.followers import Followers, Rows
from everfresh.model.trends.table import TrendTable, chances, features_of, links_of
from everfresh.model.trends.trends import Trends

BLOCK = 64
"""Events that are counted at once. What is asked meanwhile is answered without them."""


def log_order(appended: Ints, offsets: Ints, partitions: Ints | None = None) -> Ints:
    """The order in which events are counted: by append time; within a millisecond by offset, then
    by partition, or as they stand where those are in order already."""
    if partitions is None:
        return np.lexsort((offsets, appended))
    return np.lexsort((partitions, offsets, appended))


class Tail:
    """Of one version, whose trends are read and never written to.

    Owned by one thread; what :meth:`table` returns may be used by others while the tail goes on.
    """

    def __init__(self, trends: Trends, log_shares: Floats) -> None:
        """``log_shares`` ``(rows,)`` as of :meth:`Trends.table`."""
        counts, self._base = trends.counted(), trends.followed()
        self._begin = self._clock = trends.clock
        self._faded, self._log_shares = counts.at(self._begin), log_shares
        self._weights = trends.weights
        self._newest = trends.newest()
        self._version = counts
        # Rows that the tail has taken over, ascending, and which of them it has counted on. The
        # first stands for no row.
        self._touched: Ints = np.zeros(1, np.int64)
        self._learnt = np.ones(1, np.bool_)
        self._counts = FadingCounts(counts.counts[:1].copy(), counts.counted[:1].copy())
        self._followers = self._base.part(self._touched)

    @property
    def events(self) -> int:
        """How many were counted."""
        return self._clock - self._begin

    @property
    def weights(self) -> Floats:
        """Of the pool, as of the version."""
        return self._weights

    @property
    def time(self) -> int:
        """The stream's own, as of :class:`TrendTable`."""
        return stream_time(self._newest)

    def copy(self) -> Tail:
        """Another one, which goes on from here by itself."""
        # Learning replaces arrays of rows as a whole: see touch.
        return copy.copy(self)

    def skip(self, events: int) -> None:
        """So many events came that are not known: what is counted fades."""
        self._clock += events

    def learn(self, events: Sightings) -> None:
        """The next events, as of :meth:`Trends.learn`, in blocks."""
        if len(events):
            # Once for all blocks: it costs what all rows cost that the tail has touched.
            self.touch(np.append(events.before, events.rows))
        self.learn_touched(events)

    def learn_touched(self, events: Sightings) -> None:
        """The same where :meth:`touch` was told all their rows: changes in place what tables and
        copies made since show."""
        self._newest = newest_times(self._newest, events.times)
        for begin in range(0, len(events), BLOCK):
            self._learn(events.part(slice(begin, begin + BLOCK)))

    def weights_of(self, contexts: Contexts) -> Floats:
        """As of :meth:`TrendTable.weights_of`."""
        weights: Floats = self._weights[places_of(contexts, self.time, len(self._weights))]
        return weights

    def features_of(self, rows: Ints | slice) -> Floats:
        """Features of ``rows``, ascending, as of now; ``(n, COLUMNS)``."""
        return features_of(self._counted(rows), self._log_shares[rows])

    def links(self, last: Ints) -> tuple[Ints, Floats]:
        """As of :meth:`TrendTable.links`."""
        rows, counts = self.followers().after(last, self._clock)
        distinct, place = np.unique(rows, return_inverse=True)
        chance = self._chance(self._counted(distinct))
        return rows, links_of(counts, chance[place.reshape(rows.shape)])

    def table(self) -> TrendTable:
        """To score with, as of now."""
        faded = self._counted(slice(None))
        return TrendTable(
            features_of(faded, self._log_shares),
            self._chance(faded),
            self.followers(),
            self._clock,
            self._weights,
            self.time,
        )

    def followers(self) -> TailFollowers:
        """As of now."""
        return TailFollowers(self._base, self._touched, self._followers)

    def _counted(self, rows: Ints | slice) -> Floats:
        """Faded counts of ``rows``, ascending."""
        lives = LIVES[: self._faded.shape[1]]
        left = fading(np.array([self._clock - self._begin]), lives)[0].astype(np.float32)
        faded: Floats = self._faded[rows] * left
        touched = self._touched
        if isinstance(rows, slice):
            begin, end, _ = rows.indices(len(self._faded))
            first, last = np.searchsorted(touched, (begin, end)).tolist()
            places = first + np.flatnonzero(self._learnt[first:last])
            faded[touched[places] - begin] = self._own(places)
            return faded
        place = np.minimum(np.searchsorted(touched, rows), len(touched) - 1)
        known = (touched[place] == rows) & self._learnt[place]
        faded[known] = self._own(place[known])
        return faded

    def _own(self, places: Ints) -> Floats:
        """Faded counts of touched rows, at these places among them."""
        counts = self._counts
        return FadingCounts(counts.counts[places], counts.counted[places]).at(self._clock)

    def _chance(self, faded: Floats) -> Floats:
        return chances(faded, len(self._log_shares), self._clock)

    def _learn(self, events: Sightings) -> None:
        before, place = (
            np.searchsorted(self._touched, rows) for rows in (events.before, events.rows)
        )
        self._learnt[before] = self._learnt[place] = True
        self._counts.learn(place, events.begins, self._clock)
        self._followers.learn(before, events.rows, self._clock)
        self._clock += len(events)

    def touch(self, rows: Ints) -> None:
        """Take these rows over from the version, in arrays of the tail's own; new ones, as tables
        and copies use the old. What is told stays the same."""
        touched = np.union1d(self._touched, rows)
        had = np.searchsorted(touched, self._touched)
        version = self._version
        counts, counted = version.counts[touched], version.counted[touched]
        followers = self._base.part(touched)
        counts[had], counted[had] = self._counts.counts, self._counts.counted
        followers.put(had, self._followers)
        learnt = np.zeros(len(touched), np.bool_)
        learnt[had] = self._learnt
        self._touched, self._learnt, self._followers = touched, learnt, followers
        self._counts = FadingCounts(counts, counted)


class TailFollowers:
    """Followers as of the tail where it has touched a row, as of the version elsewhere."""

    def __init__(self, version: Followers, touched: Ints, own: Followers) -> None:
        """``own`` are those of the rows ``touched``, ascending."""
        self._version = version
        self._touched = touched
        self._own = own

    def after(self, items: Ints, clock: int) -> tuple[Ints, Floats]:
        """See :class:`Followers`."""
        rows, counts = self._version.after(items, clock)
        place, known = self._places(items)
        rows[known], counts[known] = self._own.after(place[known], clock)
        return rows, counts

    def after_one(self, item: int, clock: int) -> tuple[Rows, Floats]:
        """See :class:`Followers`."""
        place = int(self._touched.searchsorted(item))
        if place < len(self._touched) and self._touched[place] == item:
            return self._own.after_one(place, clock)
        return self._version.after_one(item, clock)

    def _places(self, items: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        place = np.minimum(np.searchsorted(self._touched, items), len(self._touched) - 1)
        return place, self._touched[place] == items


def counted_by_block(tail: Tail, order: Ints, events: Sightings) -> Iterator[tuple[Ints, Tail]]:
    """The events of each block ``(n,)`` and the tail of those before it, which is changed next;
    ``order`` is theirs in the log."""
    tail.touch(np.append(events.before, events.rows))
    for begin in range(0, len(order), BLOCK):
        part = order[begin : begin + BLOCK]
        yield part, tail
        tail.learn_touched(events.part(part))
