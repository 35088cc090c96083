"""The items that are alive: they arrive, rise, decay and die, and lead to each other.

Time goes by in ticks of one minute. All arrays have a row for each item alive (and some free ones,
whose attention is 0), however many items there have been.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from everfresh.adapters.files.drifting.draws import Draws
from everfresh.adapters.files.drifting.settings import DriftSettings

TICK_MS = 60_000
_HOUR_MS = 3_600_000
_DEAD = 0.01
_NONE = -1

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class LiveItems:
    """Attention, topic and related items of every item alive, at the tick that was last."""

    def __init__(self, settings: DriftSettings, draws: Draws) -> None:
        self._settings, self._draws = settings, draws
        self._rows: dict[int, int] = {}
        self._free: list[int] = []
        self._born = self._now = 0
        self._life_ticks = round(settings.life_hours * _HOUR_MS / TICK_MS)
        self._ticks_left = np.zeros(0, dtype=np.int64)
        self._level, self._decay, self._risen = (np.zeros(0) for _ in range(3))
        weights = np.asarray([1.0 / (topic + 2) for topic in range(settings.topics)])
        self.topic_shares: Floats = weights / np.cumsum(weights)[-1]
        self._topics_up_to = np.cumsum(self.topic_shares)
        self._link_weights = [0.5**place for place in range(settings.links)]
        self._links: Rows = np.zeros((0, settings.links), dtype=np.int64)
        self._clicked = np.zeros(0, dtype=np.bool_)
        self.items: Rows = np.zeros(0, dtype=np.int64)
        self.topics: Rows = np.zeros(0, dtype=np.int64)
        self.attention: Floats = np.zeros(0)
        self._next_item = draws.wait_ms(_HOUR_MS / settings.items_per_hour)
        self._next_link = 0
        # As many items live at the beginning as later.
        for _ in range(self._life_ticks):
            self.tick(linked=False)
        while not self._rows:
            self._arrive()
        self._relink()

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, item: int) -> int | None:
        """The row of an item, if it is alive."""
        return self._rows.get(item)

    def alive(self) -> Rows:
        """Rows of all items alive, the oldest first."""
        return np.fromiter(self._rows.values(), dtype=np.int64, count=len(self._rows))

    def draw_topic(self) -> int:
        """A topic by its weight."""
        return pick(self._topics_up_to, self._draws.share())

    def led(self, row: int) -> Iterator[tuple[int, float]]:
        """The rows of the items that are related to this one, with their weights."""
        pairs = zip(self._links[row].tolist(), self._link_weights, strict=True)
        return (pair for pair in pairs if pair[0] != _NONE)

    def click(self, row: int) -> bool:
        """Note a click; whether it is the item's first."""
        first = not self._clicked[row]
        self._clicked[row] = True
        return first

    def tick(self, *, linked: bool = True) -> None:
        """One minute later."""
        self._now += TICK_MS
        self._level *= np.where(self._risen >= 1.0, self._decay, 1.0)
        self._risen += TICK_MS / (self._settings.rise_minutes * _HOUR_MS / 60)
        self._ticks_left -= 1
        gone = (self._level < _DEAD) | (self._ticks_left <= 0)
        for row in np.flatnonzero(gone & (self.items != _NONE)).tolist():
            if len(self._rows) > 1:
                self._die(row)
            else:  # the last one stays until another has come
                self._level[row] = max(_DEAD, self._level[row])
        while self._next_item <= self._now:
            self._arrive()
            self._next_item += self._draws.wait_ms(_HOUR_MS / self._settings.items_per_hour)
        self.attention = self._level * np.minimum(self._risen, 1.0)
        if linked:
            self._turn_over()
            self._relink()

    def _arrive(self) -> None:
        if not self._free:
            self._grow()
        row = self._free.pop()
        settings, draws = self._settings, self._draws
        half_life_ms = settings.half_life_hours * _HOUR_MS * draws.spread()
        self._level[row] = draws.pareto(settings.quality_tail, settings.quality_most)
        self._decay[row] = round(0.5 ** (TICK_MS / half_life_ms), 12)
        self._risen[row] = TICK_MS / (settings.rise_minutes * _HOUR_MS / 60)
        self._ticks_left[row] = self._life_ticks
        self.attention[row] = self._level[row] * min(self._risen[row], 1.0)
        self.topics[row] = self.draw_topic()
        self._links[row] = _NONE
        self._clicked[row] = False
        self._born += 1
        self.items[row] = self._born
        self._rows[self._born] = row

    def _die(self, row: int) -> None:
        del self._rows[int(self.items[row])]
        self._free.append(row)
        self._level[row] = self.attention[row] = 0.0
        self.items[row] = _NONE
        self._links[self._links == row] = _NONE

    def _grow(self) -> None:
        had = len(self.items)
        more = max(16, had)
        self._free += range(had + more - 1, had - 1, -1)
        for name in ("_level", "_decay", "_risen", "attention"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(more)]))
        fills = {"_ticks_left": 0, "items": _NONE, "topics": 0, "_clicked": False}
        for name, fill in fills.items():
            setattr(self, name, np.concatenate([getattr(self, name), np.full(more, fill)]))
        self._links = np.concatenate([self._links, np.full((more, self._links.shape[1]), _NONE)])

    def _turn_over(self) -> None:
        """Links end by chance, each after ``link_hours`` on average."""
        number = len(self._rows) * self._settings.links
        mean_ms = self._settings.link_hours * _HOUR_MS / number
        self._next_link = max(self._next_link, self._now - TICK_MS)
        alive: Rows | None = None
        while True:
            at = self._next_link + self._draws.wait_ms(mean_ms)
            if at > self._now:
                return
            self._next_link = at
            alive = self.alive() if alive is None else alive
            row = alive[self._draws.below(len(alive))]
            self._links[row, self._draws.below(self._settings.links)] = _NONE

    def _relink(self) -> None:
        """Every link that is missing leads to an item that is alive, by the root of attention."""
        missing = np.argwhere((self._links == _NONE) & (self.items != _NONE)[:, None])
        if not len(missing):
            return
        weights = np.sqrt(self.attention)
        anywhere = np.cumsum(weights)
        by_topic: dict[int, Floats] = {}
        for row, place in missing.tolist():
            topic, pool = int(self.topics[row]), anywhere
            if self._draws.chance(self._settings.link_same_topic):
                if topic not in by_topic:
                    by_topic[topic] = np.cumsum(weights * (self.topics == topic))
                pool = by_topic[topic]
            to = pick(pool, self._draws.share())
            if to != row and to not in self._links[row]:
                self._links[row, place] = to


def pick(cumulated: Floats, share: float) -> int:
    """The row at this share of a cumulated sum; never one of weight 0."""
    at = int(np.searchsorted(cumulated, share * cumulated[-1], side="right"))
    # The product can be rounded up to the whole sum.
    return at if at < len(cumulated) else int(np.searchsorted(cumulated, cumulated[-1]))
