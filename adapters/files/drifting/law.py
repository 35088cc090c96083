"""The law of the stream: how likely every item alive is to be clicked next, known at every click.

Each item has two shares. One goes by its attention, where items of the user's favourite topic count
``taste`` times. The other goes by the square of its attention, and is the same for all users: the
front page. Items clicked lately count ``again`` times. Inside a session a share ``follow`` of the
probability belongs to the items that are related to the last one.

Two know the law. The oracle also knows each user's favourite topic. The observer does not: it
infers the topic from the user's clicks, by Bayes' rule, and is exact. Both know every item's
attention and links, and who is a bot.
"""

from __future__ import annotations

import numpy as np

from everfresh.adapters.files.drifting.items import Floats, LiveItems
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.visitors import User


class Law:
    """Probabilities over the rows of ``items``; rows without an item have 0."""

    def __init__(self, settings: DriftSettings, items: LiveItems) -> None:
        self._settings, self._items = settings, items
        self._usual: Floats = np.zeros((settings.topics, 0))
        self._front: Floats = np.zeros(0)

    def weigh(self) -> None:
        """Take the attention of this tick: shares by topic and row, and those of the front page."""
        attention, taste = self._items.attention, self._settings.taste
        favourite = np.arange(self._settings.topics)[:, None] == self._items.topics
        weights = np.where(favourite, taste, 1.0) * attention
        self._usual = _shares(weights)
        self._front = _shares(attention * attention)

    def of(self, user: User) -> Floats:
        """The oracle's probabilities, by which the click is drawn."""
        if user.robot:
            return self._of_robot(user)
        law = (1.0 - user.front) * self._usual[user.favourite] + user.front * self._front
        seen = self._seen(user)
        law[seen] *= self._settings.again
        return self._with_links(user, seen, _shares(law))

    def observed(self, user: User) -> Floats:
        """The observer's probabilities: over what it believes of the user's favourite topic."""
        if user.robot:
            return self._of_robot(user)
        seen = self._seen(user)
        weights = self._believed(user) / self._kept(user, seen)
        law: Floats = (1.0 - user.front) * (weights @ self._usual)
        law += (user.front * weights.sum()) * self._front
        law[seen] *= self._settings.again
        return self._with_links(user, seen, law)

    def learn(self, user: User, row: int) -> None:
        """Let the observer believe what this click says of the user's favourite topic."""
        if user.robot:
            return
        seen = self._seen(user)
        chosen = self._mixed(user, [row])[:, 0] / self._kept(user, seen)
        chosen *= self._settings.again if row in seen else 1.0
        if led := self._led(user, seen):
            follow = self._settings.follow
            chosen = (1.0 - follow) * chosen + follow * led.get(row, 0.0)
        user.belief = _shares(self._believed(user) * chosen)

    def _believed(self, user: User) -> Floats:
        prior = self._items.topic_shares
        if user.belief is None:
            return prior
        if user.depth:
            return user.belief
        drift = self._settings.taste_drift
        return (1.0 - drift) * user.belief + drift * prior

    def _mixed(self, user: User, rows: list[int]) -> Floats:
        """Topics x rows: the share of each of these rows, before what was clicked lately counts."""
        mixed: Floats = (1.0 - user.front) * self._usual[:, rows]
        mixed += user.front * self._front[rows]
        return mixed

    def _kept(self, user: User, seen: list[int]) -> Floats:
        """By topic, what is left of 1 when items clicked lately count less."""
        lost = (1.0 - self._settings.again) * self._mixed(user, seen).sum(axis=1)
        kept: Floats = 1.0 - lost
        return kept

    def _seen(self, user: User) -> list[int]:
        find = self._items.row
        return [row for item in set(user.recent) if (row := find(item)) is not None]

    def _with_links(self, user: User, seen: list[int], law: Floats) -> Floats:
        if led := self._led(user, seen):
            law *= 1.0 - self._settings.follow
            for row, share in led.items():
                law[row] += self._settings.follow * share
        return law

    def _led(self, user: User, seen: list[int]) -> dict[int, float]:
        """Shares of the items that are related to the last one; none where a session begins."""
        last = self._items.row(user.recent[-1]) if user.depth else None
        if last is None:
            return {}
        again = self._settings.again
        led = {
            row: weight * (again if row in seen else 1.0) for row, weight in self._items.led(last)
        }
        total = sum(led.values())
        return {row: weight / total for row, weight in led.items()} if total else {}

    def _of_robot(self, robot: User) -> Floats:
        law = np.zeros(len(self._items.items))
        if robot.only is None:
            law[self._items.alive()] = 1.0 / len(self._items)
        else:
            law[self._items.row(robot.only)] = 1.0
        return law


def rank(law: Floats, row: int) -> int:
    """The place of ``row``, 1 for the likeliest; of equals the lower row comes first."""
    ahead = np.count_nonzero(law > law[row]) + np.count_nonzero(law[:row] == law[row])
    return 1 + int(ahead)


def _shares(weights: Floats) -> Floats:
    """The same, each row with 1 as its sum; summed in order, so alike on every machine."""
    shares: Floats = weights / np.cumsum(weights, axis=-1)[..., -1:]
    return shares
