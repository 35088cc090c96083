"""The catalogue of one replica: what the topic says, and what that means for each version."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Iterator, Sequence

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import ItemChange
from everfresh.contracts.settings.items import ItemSettings
from everfresh.model.recommender import Recommender
from everfresh.serving.items.cold_rows import ColdRows
from everfresh.serving.items.newest import NewestRecords
from everfresh.serving.items.table import ItemTable
from everfresh.serving.items.view import RowView

_HELD = 20
"""Records that are taken in at a time, while requests wait: some 0.3 ms. The thread that does it
gives way to all others, so it must not hold them up for long."""
_REST_S = 0.001


class Catalogue:
    """Written by whoever follows the topic, and by the follower of versions; read by requests.

    Each request reads one state of it: it holds the catalogue from :meth:`reading` to the end.
    """

    def __init__(self, settings: ItemSettings) -> None:
        self.table = ItemTable(settings.most, unlisted=settings.unlisted == "allow")
        self.newest = NewestRecords(settings.cold)
        self._most_cold = settings.cold
        self.defaults = settings.default_rules
        self.only_listed = settings.unlisted == "exclude"
        self._last_cold: ColdRows | None = None
        self.cold_items = 0
        """Without a row in the version that was prepared last, and scored by their records."""
        self.refused = 0
        self.last_refused = ""
        self.end = 0
        """The offset after the last record that was read."""
        self.in_use = self.only_listed
        """Whether there is anything to obey besides a request's own rules."""
        self._views: weakref.WeakKeyDictionary[Recommender, RowView] = weakref.WeakKeyDictionary()
        self._changing = threading.Lock()
        self._reading = threading.Lock()

    def apply(self, changes: Sequence[ItemChange], end: int, *, gently: bool = False) -> None:
        """Take records in, those of the log before ``end``; ``gently`` with rests for requests."""
        with self._changing:
            for some in _chunks(changes):
                for change in some:
                    self.newest.put(change)
                    if gently:  # else there is time when a version is prepared
                        self.newest.features(change.id)
                with self._reading:
                    self._take(some)
                    # Whoever reads next obeys these, and says so.
                    if some[-1].offset >= 0:
                        self.end = some[-1].offset + 1
                if gently and self.in_use:
                    # Whoever waits gets the lock now; without a rest this thread would have it.
                    time.sleep(_REST_S)
            if changes and not self.in_use:
                self._begin()
            self.end = end

    def prepare(self, recommender: Recommender) -> None:
        """See which row is which item of what is about to answer."""
        with self._changing:
            view = self._views.get(recommender)
            if view is None:
                view = RowView(recommender, self.table)
            followed = view.follow(recommender.vocabulary) if self.in_use else None
            # One that no view has any more has not followed the records.
            before = next((v.cold for v in self._views.values() if v.cold is self._last_cold), None)
            cold = self._last_cold = ColdRows.of(recommender, self.newest, self.table, before)
            with self._reading:
                view.cold = cold
                self.cold_items = len(cold)
                if followed is not None:
                    view.take(*followed)
                self._views[recommender] = view

    @contextlib.contextmanager
    def reading(self, recommender: Recommender, now_ms: int) -> Iterator[RowView]:
        """The view of a version that was prepared, as of now; nothing changes meanwhile."""
        if not self.in_use:
            with self._changing:
                self._begin()
        with self._reading:
            if now_ms >= self.table.due_ms and (changed := self.table.advance(now_ms)):
                self._renew(changed)
            yield self._views[recommender]

    def view(self, recommender: Recommender) -> RowView:
        """The view of a version that was prepared; asked by who is :meth:`reading`."""
        return self._views[recommender]

    def seen(self, recommender: Recommender) -> RowView | None:
        """The same for who is not; it may change meanwhile, and is ``None`` where it is gone."""
        return self._views.get(recommender)

    def may_show(self, items: Sequence[ItemId]) -> list[bool]:
        """Whether each of these may be shown; asked by who is :meth:`reading`."""
        live: list[bool] = self.table.live.values[self.table.slots_of(items)].tolist()
        return live

    def _take(self, changes: Sequence[ItemChange]) -> None:
        taken = list[tuple[ItemId, int]]()
        for change in changes:
            slot = self.table.put(change)
            if slot is None:
                self.refused += 1
                self.last_refused = f"{change.id!r:.80}"
            else:
                taken.append((change.id, slot))
        self._renew(taken)
        items = [item for item, _ in taken]
        for recommender, view in self._views.items():
            view.cold.put(recommender, items, self.newest, self.table)
            if len(view.cold) > 2 * self._most_cold:  # no version has come for long
                view.cold = ColdRows.of(recommender, self.newest, self.table, view.cold)
            self.cold_items = len(view.cold)

    def _renew(self, changes: Sequence[tuple[ItemId, int]]) -> None:
        for recommender, view in self._views.items():
            view.renew(recommender.vocabulary, changes)

    def _begin(self) -> None:
        """The first record: from now on versions have to be seen."""
        followed = [
            (view, view.follow(recommender.vocabulary)) for recommender, view in self._views.items()
        ]
        with self._reading:
            for view, (slots, rows) in followed:
                view.take(slots, rows)
            self.in_use = True


def _chunks(changes: Sequence[ItemChange]) -> Iterator[Sequence[ItemChange]]:
    for at in range(0, len(changes), _HELD):
        yield changes[at : at + _HELD]
