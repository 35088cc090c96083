"""The settings of a drifting stream: how many come, how long things last, what clicks follow."""

from __future__ import annotations

import dataclasses
import hashlib

from everfresh.contracts.errors import SettingsError

START_MS = 1_735_689_600_000
"""2025-01-01 00:00 UTC, in UTC milliseconds."""


@dataclasses.dataclass(frozen=True)
class DriftSettings:
    """What a stream is made by. ``SettingsError`` for a value that no stream can have.

    The defaults are near a news site (``docs/quality.md`` has its profile beside theirs).
    """

    seed: int = 17
    """Of all random draws; at least 0."""
    start_ms: int = START_MS
    """When it begins, in UTC milliseconds."""
    clicks_per_hour: float = 8000.0
    """Clicks of people, on average."""

    items_per_hour: float = 25.0
    """New items, on average."""
    topics: int = 12
    """Every item belongs to one. The first has most items and most users."""
    quality_tail: float = 1.0
    """Exponent of the Pareto law of an item's attention; less is more unequal."""
    quality_most: float = 300.0
    """Most attention that an item gets at its peak; a usual one gets 1."""
    rise_minutes: float = 30.0
    """From an item's arrival to its peak."""
    half_life_hours: float = 2.5
    """In which attention falls to half after the peak; an item's own is half to double of it."""
    life_hours: float = 48.0
    """Longest life. An item is taken down earlier once its attention is below a hundredth."""

    links: int = 3
    """Related items of every item: each has half the weight of the one before."""
    link_hours: float = 3.0
    """How long one item stays the related one of another, on average."""
    link_same_topic: float = 0.8
    """Share of related items that are of the item's own topic."""
    follow: float = 0.45
    """Share of clicks inside a session that go to an item related to the last one."""

    headlines: float = 0.7
    """Share of first clicks of a session that go by the square of attention, as on a front page.
    Of second clicks it is the square of this share, and so on."""
    taste: float = 5.0
    """How much likelier an item of a user's favourite topic is than one of another topic."""
    taste_drift: float = 0.2
    """Probability that a returning user has got another favourite topic."""
    again: float = 0.3
    """Factor on the probability of an item that the user has clicked lately."""

    stay: float = 0.4
    """Probability of another click in a short session."""
    long_stay: float = 0.85
    """The same in a long session."""
    long_sessions: float = 0.15
    """Share of sessions that are long."""
    gap_s: float = 60.0
    """Seconds between two clicks of a session, on average."""
    returning: float = 0.25
    """Share of sessions of users who have been there before."""
    loyal: float = 0.2
    """Share of new users who may come back."""
    regulars: int = 2000
    """Users who may come back are remembered up to this number; a new one then replaces one."""

    bot_share: float = 0.0
    """Share of all clicks that bots make, below 1."""
    bots: int = 4
    """Bots, if there are any: every second one clicks at random, the others one item each."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name))

    @property
    def name(self) -> str:
        """Eight signs that differ where the settings differ. They begin every event's id."""
        values = repr(dataclasses.astuple(self))
        return hashlib.sha256(values.encode()).hexdigest()[:8]

    @property
    def clicks_per_session(self) -> float:
        """On average."""
        short = (1 - self.long_sessions) / (1 - self.stay)
        return short + self.long_sessions / (1 - self.long_stay)


_SHARES = {"link_same_topic", "follow", "headlines", "taste_drift", "again", "long_sessions"}
_SHARES |= {"returning", "loyal"}
_BELOW_ONE = {"stay", "long_stay", "bot_share"}
_LEAST = {"seed": 0, "start_ms": 0, "topics": 1, "links": 1, "regulars": 1, "bots": 1}
_MOST = {"topics": 1000, "links": 50, "regulars": 10_000_000, "bots": 1_000_000}


def _check(name: str, value: float) -> None:
    if name in _SHARES:
        low, high, right = 0.0, 1.0, 0.0 <= value <= 1.0
    elif name in _BELOW_ONE:
        low, high, right = 0.0, 0.99, 0.0 <= value <= 0.99
    elif name in _LEAST:
        low, high = _LEAST[name], _MOST.get(name, 2**62)
        right = isinstance(value, int) and low <= value <= high
    else:
        low, high, right = 1e-3, 1e9, 1e-3 <= value <= 1e9
    if not right:
        raise SettingsError(
            f"{name} of a drifting stream lies between {low:g} and {high:g}, found {value!r}"
        )
