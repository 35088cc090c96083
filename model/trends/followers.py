"""What has followed each item, and how often: its top followers, with counts that fade.

Bounded: an item keeps ``PLACES`` followers. Those go first that count least, lately and for longer.
The last count of a follower fades with what follows its item, not with the stream: a link of a hot
item that has ended is soon told, and one of an item that is seldom followed is not forgotten.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from everfresh.model.trends.counts import Floats, Ints, fading

PLACES = 20
"""Followers of an item that are kept."""
HALF_LIVES = (2_048.0, 16_384.0)
"""In events."""
OWN_HALF_LIFE = 24.0
"""Of the last count; in followings of the item itself."""
COUNTS = len(HALF_LIVES) + 1
"""Of each follower; versions of earlier builds lack the last."""
_LATELY = 4.0
"""How many old followings a recent one is worth when places are short."""

Rows = npt.NDArray[np.int32]


class Followers:
    """``rows`` ``(rows, PLACES)``, 0 where there is none, with ``counts`` ``(rows, PLACES,
    COUNTS)`` as of the event numbers ``counted`` ``(rows,)``; of an earlier build, the first two.

    Arrays of the caller's, which :meth:`learn` and :meth:`forget` write to.
    """

    def __init__(self, rows: Rows, counts: Floats, counted: Ints) -> None:
        self.rows = rows
        self.counts = counts
        self.counted = counted

    def learn(self, before: Ints, rows: Ints, clock: int) -> None:
        """Event number ``clock + n`` was of ``rows[n]`` and followed ``before[n]``, 0 for none."""
        at = np.flatnonzero((before != 0) & (rows != 0))
        if not len(at):
            return
        end = clock + len(rows)
        items, owners = np.unique(before[at], return_inverse=True)
        own, came = _newer(owners)
        width = self.counts.shape[2]
        had = self.counts[items] * _left(end - self.counted[items], came, width)[:, None]
        pairs = np.stack(
            [
                np.append(np.repeat(np.arange(len(items)), PLACES), owners),
                np.append(self.rows[items].ravel(), rows[at]),
            ]
        )
        fresh = _left(end - clock - at, own, width)
        counts = np.concatenate([had.reshape(-1, width), fresh])
        owners, followers, counts = _best(*_summed(pairs[:, pairs[1] != 0], counts[pairs[1] != 0]))
        places = np.arange(len(owners)) - np.searchsorted(owners, owners)
        kept = places < PLACES
        self.rows[items], self.counts[items] = 0, 0.0
        self.rows[items[owners[kept]], places[kept]] = followers[kept]
        self.counts[items[owners[kept]], places[kept]] = counts[kept]
        self.counted[items] = end

    def part(self, rows: Ints) -> Followers:
        """Those of ``rows`` alone, in arrays of its own."""
        return Followers(self.rows[rows], self.counts[rows], self.counted[rows])

    def put(self, places: Ints, part: Followers) -> None:
        """Overwrite these rows."""
        self.rows[places], self.counts[places] = part.rows, part.counts
        self.counted[places] = part.counted

    def after(self, items: Ints, clock: int) -> tuple[Ints, Floats]:
        """Followers of ``items`` ``(n, PLACES)`` and their counts at event number ``clock``."""
        events = clock - self.counted[items]
        left = _left(events, np.zeros_like(events), self.counts.shape[2])
        counts = self.counts[items] * left[:, None]
        return self.rows[items].astype(np.int64), counts.astype(np.float32)

    def after_one(self, item: int, clock: int) -> tuple[Rows, Floats]:
        """The same of one item: ``(PLACES,)`` and ``(PLACES, COUNTS)``."""
        events = clock - int(self.counted[item])
        left = [*(0.5 ** (events / half_life) for half_life in HALF_LIVES), 1.0]
        counts = self.counts[item]
        faded: Floats = counts * np.array(left[: counts.shape[1]], np.float32)
        return self.rows[item], faded

    def forget(self, rows: Ints) -> Ints:
        """These rows follow nothing and are followed by nothing; returns those they followed."""
        self.rows[rows], self.counts[rows] = 0, 0.0
        # A row that is freed goes to another item, which must not inherit its places.
        gone = np.isin(self.rows, rows)
        self.rows[gone], self.counts[gone] = 0, 0.0
        return np.flatnonzero(gone.any(axis=1))


def _newer(owners: Ints) -> tuple[Ints, Ints]:
    """By following ``(n,)``, how many newer ones the same owner has; and by owner, how many in
    all."""
    came = np.bincount(owners)
    order = np.argsort(owners, kind="stable")
    newer = np.empty(len(owners), np.int64)
    newer[order] = np.cumsum(came)[owners[order]] - 1 - np.arange(len(owners))
    return newer, came


def _left(events: Ints, followings: Ints, width: int) -> npt.NDArray[np.float64]:
    """What is left of one following after so many ``events`` ``(n,)`` of the stream and so many
    ``followings`` ``(n,)`` of its item, ``(n, width)``."""
    own = np.exp2(-followings[:, None] / OWN_HALF_LIFE)
    left: npt.NDArray[np.float64] = np.concatenate([fading(events, HALF_LIVES), own], axis=1)
    return left[:, :width]


def _summed(pairs: Ints, counts: npt.NDArray[Any]) -> tuple[Ints, npt.NDArray[Any]]:
    """Each pair once, in order, with the sum of its counts."""
    # As one number each: numpy sorts numbers ten times as fast as columns.
    keys, place = np.unique((pairs[0] << 32) | pairs[1], return_inverse=True)
    sums = [np.bincount(place, column, len(keys)) for column in counts.T]
    return np.stack([keys >> 32, keys & 0xFFFF_FFFF]), np.stack(sums, axis=1)


def _best(pairs: Ints, counts: npt.NDArray[Any]) -> tuple[Ints, Ints, npt.NDArray[Any]]:
    """Owners, followers and counts by owner, the best follower of each first."""
    worth = _LATELY * counts[:, 0] + counts[:, 1]
    order = np.lexsort((pairs[1], -worth, pairs[0]))
    return pairs[0][order], pairs[1][order], counts[order]
