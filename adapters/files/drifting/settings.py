"""The settings of a drifting stream: how many come, how long things last, what clicks follow."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from everfresh.contracts.errors import SettingsError

START_MS = 1_735_689_600_000
"""2025-01-01 00:00 UTC, in UTC milliseconds."""


@dataclasses.dataclass(frozen=True)
class DriftSettings:
    """What a stream is made by. ``SettingsError`` for a value that no stream can have.

    The defaults are near a news site (``docs/quality.md`` has its profile beside theirs).
    """

    seed: int = 17
    """Of all random draws."""
    start_ms: int = START_MS
    """When it begins, in UTC milliseconds."""
    clicks_per_hour: float = 8000.0
    """Clicks of people, on average."""

    items_per_hour: float = 25.0
    """New items, on average."""
    topics: int = 20
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

    headlines: float = 0.75
    """Share of first clicks of a session that go by the square of attention, whatever the user's
    taste: the front page. Of second clicks it is the square of this share, and so on."""
    taste: float = 15.0
    """How much likelier an item of a user's favourite topic is than one of another topic."""
    taste_drift: float = 0.2
    """Probability that a returning user has got another favourite topic."""
    again: float = 0.3
    """Factor on the probability of the 20 items that the user has clicked last."""

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
    """Share of all clicks that bots make."""
    bots: int = 4
    """Bots, if there are any: every second one clicks at random, the others one item each."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name))
        alive = self.items_per_hour * self.life_hours
        if alive > _MOST_ALIVE:
            raise SettingsError(
                f"items_per_hour {self.items_per_hour:,} and life_hours {self.life_hours:,} let "
                f"{alive:,.0f} items live at once; every click costs time for each of them: choose "
                f"less, so that it is {_MOST_ALIVE:,} at most"
            )
        ending = alive * self.links / self.link_hours
        if ending > _MOST_LINKS_AN_HOUR:
            raise SettingsError(
                f"link_hours {self.link_hours:,} lets {ending:,.0f} links end in an hour; choose "
                f"longer ones or fewer items, so that it is {_MOST_LINKS_AN_HOUR:,} at most"
            )

    @classmethod
    def from_words(cls, words: Mapping[str, str], **given: float) -> DriftSettings:
        """Those of ``given``, and of names and values as a person has typed them."""
        whole = {name: isinstance(low, int) for name, (low, _) in _BOUNDS.items()}
        values: dict[str, Any] = dict(given)
        for name, word in words.items():
            if name not in whole:
                raise SettingsError(
                    f"a drifting stream has no setting {name!r}; it has {', '.join(whole)}"
                )
            try:
                values[name] = int(word) if whole[name] else float(word)
            except ValueError:
                values[name] = word  # refused below, with what would be right
        return cls(**values)

    @property
    def name(self) -> str:
        """Eight signs that differ where the settings differ. They begin every event's id."""
        values = tuple(type(low)(getattr(self, name)) for name, (low, _) in _BOUNDS.items())
        return hashlib.sha256(repr(values).encode()).hexdigest()[:8]

    @property
    def clicks_per_session(self) -> float:
        """On average."""
        short = (1 - self.long_sessions) / (1 - self.stay)
        return short + self.long_sessions / (1 - self.long_stay)


_SHARE = (0.0, 1.0)
_BELOW_ONE = (0.0, 0.99)
_BOUNDS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "start_ms": (0, 253_402_300_799_000),  # the end of the year 9999
    "clicks_per_hour": (1.0, 1e5),
    "items_per_hour": (0.01, 1e5),
    "topics": (1, 100),
    "quality_tail": (0.1, 100.0),
    "quality_most": (1.0, 1e6),
    "rise_minutes": (1.0, 1e5),
    "half_life_hours": (0.01, 1e4),
    "life_hours": (0.1, 1000.0),
    "links": (1, 20),
    "link_hours": (0.1, 1e4),
    "link_same_topic": _SHARE,
    "follow": _BELOW_ONE,
    "headlines": _SHARE,
    "taste": (1.0, 1e6),
    "taste_drift": _SHARE,
    "again": (0.001, 1.0),
    "stay": _BELOW_ONE,
    "long_stay": _BELOW_ONE,
    "long_sessions": _SHARE,
    "gap_s": (0.01, 1e5),
    "returning": _SHARE,
    "loyal": _SHARE,
    "regulars": (1, 10_000_000),
    "bot_share": (0.0, 0.9),
    "bots": (1, 10_000),
}
_MOST_ALIVE = 200_000
_MOST_LINKS_AN_HOUR = 1_000_000
# Waits are whole milliseconds, so nothing may come much more often than that.


def _check(name: str, value: object) -> None:
    low, high = _BOUNDS[name]
    whole = isinstance(low, int)
    kinds = (int,) if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not low <= value <= high:
        raise SettingsError(
            f"{name} of a drifting stream is a {'whole ' * whole}number from {low:,} to {high:,}, "
            f"found {value!r}"
        )
