"""The stream itself: events in time order, each drawn by the law at its moment.

Time and memory for an event follow from the number of items alive and of users remembered, never
from how many there have been, nor from how many events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from everfresh.adapters.files.drifting.draws import Draws
from everfresh.adapters.files.drifting.items import TICK_MS, LiveItems, pick
from everfresh.adapters.files.drifting.law import Law, rank
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.visitors import Visitors
from everfresh.contracts.event import Event


class Click(NamedTuple):
    """An event with what the law says of it."""

    event: Event
    place: int
    """In the user's sequence; the first click has 1."""
    first_of_item: bool
    """Whether nobody has clicked the item before."""
    alive: int
    """Items alive at the click."""
    rank: int
    """Of the clicked item among all items alive, by the oracle (``law``); the likeliest has 1."""
    observed_rank: int
    """The same by the observer, who infers the user's taste from earlier clicks."""
    items: LiveItems
    """Those alive at the click, until the next one moves them on."""


class DriftingStream:
    """The first ``events`` events of the stream of these settings; an ``EventFile``.

    Every iteration makes the same events again. A longer stream begins with the same events.
    """

    def __init__(self, settings: DriftSettings, events: int) -> None:
        self.settings = settings
        self._length = events

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Event]:
        return (click.event for click in self._run(judged=False))

    def clicks(self) -> Iterator[Click]:
        """The same events with their ranks, at some twice the cost."""
        return self._run(judged=True)

    def _run(self, *, judged: bool) -> Iterator[Click]:
        settings = self.settings
        draws = Draws(settings.seed)
        items = LiveItems(settings, draws)
        visitors, law = Visitors(settings, draws, items), Law(settings, items)
        law.weigh()
        ticks, prefix = 0, f"drift:{settings.name}"
        for number in range(self._length):
            at, user = visitors.next()
            if late := at // TICK_MS - ticks:
                for _ in range(late):
                    items.tick()
                ticks += late
                law.weigh()
            visitors.decide(user)
            probabilities = law.of(user)
            row = pick(np.cumsum(probabilities), draws.share())
            ranks = 0, 0
            if judged:
                ranks = rank(probabilities, row), rank(law.observed(user), row)
                law.learn(user, row)
            item = int(items.items[row])
            visitors.clicked(at, user, item)
            name, time = f"{prefix}:{number + 1}", settings.start_ms + at
            event = Event(name, "click", time, user.id, item)
            yield Click(event, user.clicks, items.click(row), len(items), *ranks, items)
