"""Counts that fade, by several half-lives at once, and which of these would have done best.

Time is the number of events that the stream has had: so the same events give the same counts
however they are cut into windows, live or from a file without times, and nothing fades while
nothing comes. Counts fade forward (Cormode, Shkapenyuk, Srivastava, Xu, "Forward decay: a practical
time decay model for streaming systems", ICDE 2009): one keeps its value of the event that touched
it last, and is compared by its *level*, the logarithm of what it counts by now. All levels lose the
same with each event, so that loss is left out: the order of counts that nothing touches stays as it
is, and nobody has to visit them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from everfresh.model.touched_rows import TouchedRows

Rows = npt.NDArray[np.int64]
Levels = npt.NDArray[np.float64]

HALF_LIVES = (math.inf, 262_144.0, 32_768.0, 4_096.0, 512.0)
"""In events; the first never fades."""
RATES: Levels = np.array([1.0 / half_life for half_life in HALF_LIVES])
"""Halvings per event."""
TRIED = len(HALF_LIVES)
_FEWEST = 64


class FadingCounts:
    """Slots from 0 with a count for each half-life; a slot without events has zeros.

    Any order of calls is allowed as long as event numbers never fall.
    """

    def __init__(self) -> None:
        self.values: npt.NDArray[np.float32] = np.zeros((_FEWEST, TRIED), np.float32)
        self.touched: Rows = np.zeros(_FEWEST, np.int64)
        self.changed = TouchedRows()  # slots, since the last version

    def reach(self, slots: int) -> None:
        """Make room for so many; amortised, since room doubles."""
        have = len(self.touched)
        if slots > have:
            more = max(have, slots - have)
            self.values = np.concatenate([self.values, np.zeros((more, TRIED), np.float32)])
            self.touched = np.concatenate([self.touched, np.zeros(more, np.int64)])

    def count(self, slot: int, event: int) -> None:
        """One more in ``slot``, by the event with this number."""
        value = self.values[slot]
        value *= np.exp2((self.touched[slot] - event) * RATES)
        value += 1.0
        self.touched[slot] = event
        self.changed.add(slot)

    def clear(self, slots: Rows) -> None:
        """Back to nothing."""
        self.values[slots] = 0.0
        self.touched[slots] = 0
        self.changed.extend(slots)

    def levels(self, slots: Rows) -> Levels:
        """``(slots, half-lives)``; minus infinity where nothing was counted."""
        with np.errstate(divide="ignore"):
            logs: Levels = np.log2(self.values[slots], dtype=np.float64)
        levels: Levels = logs + self.touched[slots, None] * RATES
        return levels

    def level(self, slots: Rows, tried: int) -> Levels:
        """Those of one half-life alone, ``(slots,)``."""
        with np.errstate(divide="ignore"):
            logs: Levels = np.log2(self.values[slots, tried], dtype=np.float64)
        levels: Levels = logs + self.touched[slots] * RATES[tried]
        return levels


class Choice:
    """Which half-life would have ranked the windows so far best: prequential, so known before.

    What counts is NDCG@10, of lately more: it fades itself, by the longest half-life but one.
    """

    def __init__(self, gains: Levels | None = None) -> None:
        self.gains: Levels = np.zeros(TRIED) if gains is None else gains

    @property
    def best(self) -> int:
        """Its place in :data:`HALF_LIVES`; of equals the longest, so at first the one that never
        fades."""
        return int(np.argmax(self.gains))

    def judge(self, gains: Levels, events: int) -> None:
        """Take in a window of so many events, on which each half-life gained so much in all."""
        self.gains = self.gains * 2.0 ** (-events * RATES[1]) + gains


def gains_at_ten(ranks: npt.NDArray[np.int64]) -> Levels:
    """What each rank adds to NDCG@10 before the mean is taken."""
    return np.where(ranks <= 10, 1.0 / np.log2(1.0 + np.minimum(ranks, 10)), 0.0)
