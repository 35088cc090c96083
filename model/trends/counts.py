"""How often each item was sighted lately: counts that halve with every so many events.

The last count is of those sightings alone with which a visit begins. What follows another item
follows its links too; what visits begin with shows what is hot without them.

The clock counts events of the stream, so that a count fades as fast on a busy evening as its items
are overtaken, and the same on any file. A count is kept as it was when its item was last sighted
and faded when it is read (lazily): what is not sighted costs nothing and does not change.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from everfresh.model.metrics import Mask

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

HALF_LIVES = (2_048.0, 16_384.0, 131_072.0)
"""In events."""
BEGIN_HALF_LIFE = 2_048.0
"""Of the count of what visits begin with; in events, too."""
LIVES = (*HALF_LIVES, BEGIN_HALF_LIFE)
"""Of all counts; versions of earlier builds lack the last."""
FLOOR = 0.02
"""Added to a faded count before its logarithm is taken; in sightings."""


def fading(events: Ints, half_lives: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """What is left of one sighting after so many ``events`` ``(n,)``, ``(n, half-lives)``."""
    left: npt.NDArray[np.float64] = np.exp2(-events[:, None] / np.asarray(half_lives))
    return left


class FadingCounts:
    """``counts`` ``(rows, lives)`` as of the event numbers ``counted`` ``(rows,)``: those of
    :data:`LIVES`, or of an earlier build the first of them.

    Arrays of the caller's, which :meth:`learn` writes to.
    """

    def __init__(self, counts: Floats, counted: Ints) -> None:
        self.counts = counts
        self.counted = counted
        self._lives = LIVES[: counts.shape[1]]

    def learn(self, rows: Ints, begins: Mask, clock: int) -> None:
        """Event number ``clock + n`` was of ``rows[n]``, 0 for an item without a row, and a visit
        ``begins[n]`` with it."""
        end = clock + len(rows)
        at = np.flatnonzero(rows)
        touched, place = np.unique(rows[at], return_inverse=True)
        left = fading(end - clock - at, self._lives)
        left[:, len(HALF_LIVES) :] *= begins[at, None]
        fresh = np.zeros((len(touched), left.shape[1]))
        np.add.at(fresh, place, left)
        old = self.counts[touched] * fading(end - self.counted[touched], self._lives)
        self.counts[touched] = old + fresh
        self.counted[touched] = end

    def at(self, clock: int) -> Floats:
        """Counts of all rows as of event number ``clock``, ``(rows, lives)``."""
        return (self.counts * fading(clock - self.counted, self._lives)).astype(np.float32)


def total(clock: int, half_life: float) -> float:
    """Sum of all counts of this half-life at event number ``clock``: one is added per event."""
    return float(-np.expm1(-clock * np.log(2) / half_life) / np.expm1(np.log(2) / half_life))
