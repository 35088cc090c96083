"""Who clicks when: users, new and returning, their sessions, and bots.

Only users who are in a session or may come back are remembered, at most ``regulars`` of the latter.
"""

from __future__ import annotations

import heapq
from collections import deque

from everfresh.adapters.files.drifting.draws import Draws
from everfresh.adapters.files.drifting.items import Floats, LiveItems
from everfresh.adapters.files.drifting.settings import DriftSettings

_HOUR_MS = 3_600_000
RECENT = 20
"""Items that a user has clicked last and tends not to click again."""


class User:
    """What is hidden about a user, and what they have clicked last."""

    __slots__ = (
        "belief",
        "clicks",
        "depth",
        "favourite",
        "front",
        "id",
        "in_session",
        "only",
        "recent",
        "robot",
        "stay",
    )

    def __init__(self, number: int, favourite: int) -> None:
        self.id = number
        self.favourite = favourite
        self.belief: Floats | None = None
        """What the observer believes: the probability of each topic; None before any click."""
        self.clicks = 0
        self.depth = 0
        """Clicks in this session."""
        self.front = 0.0
        """Probability that the next click goes by the front page."""
        self.recent: deque[int] = deque(maxlen=RECENT)
        self.in_session = False
        self.stay = 0.0
        self.robot = False
        self.only: int | None = None
        """The one item of a bot that clicks one item; 0 until it has chosen."""


class Visitors:
    """The next click's time and user, one after the other."""

    def __init__(self, settings: DriftSettings, draws: Draws, items: LiveItems) -> None:
        self._settings, self._draws, self._items = settings, draws, items
        self._users = 0
        self._regulars: list[User | None] = [None] * settings.regulars
        self._session_ms = _HOUR_MS * settings.clicks_per_session / settings.clicks_per_hour
        self._queue: list[tuple[int, int, User | None]] = []
        self._order = 0
        self._robots: list[User] = []
        self._robot_ms = 0.0
        if settings.bot_share:
            per_hour = settings.clicks_per_hour * settings.bot_share / (1 - settings.bot_share)
            self._robot_ms = _HOUR_MS / per_hour
            for at in range(settings.bots):
                robot = self._new_user()
                robot.robot, robot.only = True, 0 if at % 2 else None
                self._robots.append(robot)
            self._later(draws.wait_ms(self._robot_ms), self._robots[0])
        self._later(draws.wait_ms(self._session_ms), None)

    def next(self) -> tuple[int, User]:
        """Milliseconds since the start, and who clicks."""
        at, _, user = heapq.heappop(self._queue)
        if user is None:
            self._later(at + self._draws.wait_ms(self._session_ms), None)
            return at, self._arriving()
        if user.robot:
            robot = self._robots[self._draws.below(len(self._robots))]
            self._later(at + self._draws.wait_ms(self._robot_ms), robot)
            return at, robot
        return at, user

    def clicked(self, at: int, user: User, item: int) -> None:
        """Note the click; the user clicks again after a while, or the session is over."""
        user.clicks += 1
        user.depth += 1
        user.front *= self._settings.headlines
        user.recent.append(item)
        if user.robot:
            return
        user.in_session = self._draws.chance(user.stay)
        if user.in_session:
            self._later(at + self._draws.wait_ms(self._settings.gap_s * 1000), user)

    def decide(self, user: User) -> None:
        """Give a bot of one item another one where its own has died."""
        if user.only is not None and self._items.row(user.only) is None:
            alive = self._items.alive()
            user.only = int(self._items.items[alive[self._draws.below(len(alive))]])

    def _arriving(self) -> User:
        settings, draws = self._settings, self._draws
        user: User | None = None
        if draws.chance(settings.returning):
            user = self._regulars[draws.below(settings.regulars)]
            if user is not None and not user.in_session and draws.chance(settings.taste_drift):
                user.favourite = self._items.draw_topic()
        if user is None or user.in_session:
            user = self._new_user()
            if draws.chance(settings.loyal):
                self._regulars[draws.below(settings.regulars)] = user
        long = draws.chance(settings.long_sessions)
        user.depth, user.front = 0, settings.headlines
        user.stay = settings.long_stay if long else settings.stay
        return user

    def _new_user(self) -> User:
        self._users += 1
        return User(self._users, self._items.draw_topic())

    def _later(self, at: int, user: User | None) -> None:
        self._order += 1
        heapq.heappush(self._queue, (at, self._order, user))
