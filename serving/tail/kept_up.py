"""The trends of one version as of now: what it learnt, and the events that came after."""

from __future__ import annotations

import msgspec
import numpy as np

from everfresh.contracts.manifest import WeightManifest
from everfresh.model.recommender import Recommender
from everfresh.model.trends.contexts import Sightings
from everfresh.model.trends.counts import Ints
from everfresh.model.trends.table import TrendTable
from everfresh.model.trends.tail import BLOCK, Tail
from everfresh.serving.tail.recent_log import RecentLog, RecentSlice, name_of

SETTLED_MS = 2_000
"""Events so much older than the newest are counted for good. One that comes later still is counted
too, but then all are counted anew."""


class Trending(msgspec.Struct, frozen=True):
    """What an answer scores with beside the weights: ``table``, and ``name`` of the events in it,
    empty for none; see :func:`name_of`."""

    table: TrendTable
    name: str = ""
    events: int = 0
    missing: int = 0


class KeptUp:
    """Of one loaded version, which owns it. ``now`` is read by requests, from any thread;
    :meth:`renew` is called by one thread at a time."""

    def __init__(self, recommender: Recommender, manifest: WeightManifest) -> None:
        self._recommender = recommender
        self._through = manifest.trained_through
        self.now: Trending | None = None
        """``None`` where the version's own trends are all there is."""
        self._settled: Tail | None = None
        self._settled_key: Ints = np.zeros(3, np.int64)
        self._missing = -1
        self._rows: Ints = np.zeros(1, np.int64)
        self._generation = -1
        self._name = ""

    def renew(self, log: RecentLog) -> bool:
        """Count what has come; False where nothing has."""
        if not self._recommender.trends.clock:
            return False  # a version without trends
        name = name_of(log.ranges_since(self._through))
        if name in ("", self._name):
            return False
        recent = log.since(self._through)
        rows = self._rows_of(log)
        of, before = rows[recent.items], rows[recent.before]
        tail = self._counted(recent, Sightings.of(of, before, recent.times, recent.earlier))
        was, table = self.now, tail.table()
        table.follow(self._recommender.trend_table() if was is None else was.table)
        self.now = Trending(table, name, len(recent.items), recent.missing)
        self._name = name
        return True

    def _counted(self, recent: RecentSlice, events: Sightings) -> Tail:
        """The tail of all these ``events``."""
        settled = self._settled
        done = 0 if settled is None else settled.events - recent.missing
        if (
            settled is None
            or recent.missing != self._missing
            or len(events) < done
            or (done and (recent.keys[done - 1] != self._settled_key).any())
        ):
            settled, done = self._recommender.tail(), 0
            settled.skip(recent.missing)
            self._missing = recent.missing
        if len(events):
            old = np.searchsorted(recent.keys[:, 0], recent.keys[-1, 0] - SETTLED_MS)
            whole = max(done, int(old) // BLOCK * BLOCK)
            settled.learn(events.part(slice(done, whole)))
            if whole:
                self._settled_key = recent.keys[whole - 1]
            done = whole
        self._settled = settled
        tail = settled.copy()
        tail.learn(events.part(slice(done, None)))
        return tail

    def _rows_of(self, log: RecentLog) -> Ints:
        """Rows of the log's items by number; 0 for none, and for an item without a row."""
        items, row = log.items(), self._recommender.vocabulary.row
        if self._generation != log.generation:
            self._rows, self._generation = np.zeros(1, np.int64), log.generation
        new = [row(item) for item in items[len(self._rows) - 1 :]]
        self._rows = np.append(self._rows, np.array(new, np.int64))
        return self._rows
