"""The stream itself: who clicks what, by a law that is known at every click.

A click's item is drawn by probabilities over the items alive. They follow from

- the attention that each item has now; for those who look at the front page, its square. Of the
  first clicks of a session that is the share ``headlines``, of the second its square, and so on
- the user's favourite topic, whose items are ``taste`` times as likely
- what the user has clicked lately, which is ``again`` times as likely
- inside a session: with probability ``follow`` it is an item related to the last one

Time and memory for a click follow from the number of items alive and of users remembered, never
from how many there have been.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from everfresh.adapters.files.drifting.draws import Draws
from everfresh.adapters.files.drifting.items import TICK_MS, Floats, LiveItems, pick
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.visitors import User, Visitors
from everfresh.contracts.event import Event


class Click(NamedTuple):
    """An event with what the law says of it."""

    event: Event
    place: int
    """In the user's sequence; the first click has 1."""
    rank: int
    """Of the clicked item by its true probability, among all items alive; the likeliest has 1."""
    alive: int
    """Items alive at the click."""


class DriftingStream:
    """The first ``events`` events of the stream of these settings; an ``EventFile``.

    Every iteration makes the same events again. A longer stream begins with the same events.
    """

    def __init__(self, settings: DriftSettings, events: int) -> None:
        self._settings, self._length = settings, events

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Event]:
        return (click.event for click in self.clicks())

    def clicks(self) -> Iterator[Click]:
        """The same events, each with its rank by the law that made it."""
        running = _Running(self._settings)
        for number in range(self._length):
            yield running.next(number)


class _Running:
    """The stream at one point of its time."""

    def __init__(self, settings: DriftSettings) -> None:
        self._settings = settings
        self._name = f"drift:{settings.name}"
        self._draws = Draws(settings.seed)
        self._items = LiveItems(settings, self._draws)
        self._visitors = Visitors(settings, self._draws, self._items)
        self._ticks = 0
        self._since = round(settings.life_hours * 60) * TICK_MS
        self._usual: list[Floats] = []
        self._front: list[Floats] = []
        self._weigh()

    def next(self, number: int) -> Click:
        """Event ``number`` from 0."""
        at, user = self._visitors.next()
        while (self._ticks + 1) * TICK_MS <= at:
            self._ticks += 1
            self._items.tick(self._since + self._ticks * TICK_MS)
            if (self._ticks + 1) * TICK_MS > at:
                self._weigh()
        law = self._robot_law(user) if user.robot else self._law(user)
        row = pick(np.cumsum(law), self._draws.share())
        item = int(self._items.items[row])
        rank = 1 + int(np.count_nonzero(law > law[row]))
        self._visitors.clicked(at, user, item)
        event = Event(
            f"{self._name}:{number + 1}", "click", self._settings.start_ms + at, user.id, item
        )
        return Click(event, user.clicks, rank, len(self._items))

    def _weigh(self) -> None:
        """Shares of all items by favourite topic, before what a user has clicked counts."""
        attention = self._items.attention
        self._usual, self._front = [], []
        for topic in range(self._settings.topics):
            taste = np.where(self._items.topics == topic, self._settings.taste, 1.0)
            self._usual.append(_shares(attention * taste))
            self._front.append(_shares(attention * attention * taste))

    def _law(self, user: User) -> Floats:
        """The probability of every row."""
        front = self._settings.headlines ** (user.depth + 1)
        law = (1.0 - front) * self._usual[user.favourite] + front * self._front[user.favourite]
        find = self._items.row
        seen = {row for item in user.recent if (row := find(item)) is not None}
        for row in seen:
            law[row] *= self._settings.again
        law = _shares(law)
        last = None if not user.depth else find(user.recent[-1])
        if last is None:
            return law
        follow = self._settings.follow
        law *= 1.0 - follow
        links = self._items.links[last].tolist()
        led = [
            (to, weight * (self._settings.again if to in seen else 1.0))
            for to, weight in zip(links, self._items.link_weights, strict=True)
            if to >= 0
        ]
        total = sum(weight for _, weight in led)
        if not total:
            return law
        for to, weight in led:
            law[to] += follow * weight / total
        return law

    def _robot_law(self, robot: User) -> Floats:
        law = np.zeros(len(self._items.items))
        if robot.only is None:
            law[self._items.alive()] = 1.0 / len(self._items)
            return law
        if (row := self._items.row(robot.only)) is None:
            alive = self._items.alive()
            row = int(alive[self._draws.below(len(alive))])
            robot.only = int(self._items.items[row])
        law[row] = 1.0
        return law


def _shares(weights: Floats) -> Floats:
    """The same, with 1 as their sum. Summed one after the other, so alike on every machine."""
    shares: Floats = weights / np.cumsum(weights)[-1]
    return shares
