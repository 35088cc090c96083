"""Is a window what this stream looks like? Asked before it trains anything.

Some poison cannot be seen in the candidate: beside replay, a few thousand events on one item leave
the ranks of other targets as they were. It can be seen in the window, three ways:

- one item has most of its targets;
- the pauses between a user's events are not those of the windows before (broken clocks);
- the live model, ahead of its own counts in the windows before, has fallen behind them: what users
  do no longer follows from what they did (ids shuffled).

What the windows before were like is a :class:`Profile`, kept in the checkpoint (law 5) and fed by
published windows alone. Each rule allows for the noise of few events, so that small windows pass.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import msgspec
import numpy as np

from everfresh.contracts.settings import GateSettings
from everfresh.contracts.window import TrainingWindow
from everfresh.trainer.scoring.paired import Paired

_PAUSES_S = (1.0, 60.0, 3_600.0, 86_400.0, 2_592_000.0)
"""Bounds between classes of pauses: none, a minute, an hour, a day, a month; and before, back."""
CLASSES = len(_PAUSES_S) + 2
_MEMORY = 0.8
"""What a window leaves of the profile before it."""
_RIPE = 3
"""Windows before the profile is believed."""


class Profile(msgspec.Struct, frozen=True):
    """Of the windows published so far, newer ones weighing more.

    ``pauses`` are shares of classes; ``ahead`` is the live model's mean gain over its own counts
    and ``spread`` the variance of that between windows. ``forgot`` is what a candidate loses of the
    gain ``had`` that its parent has on past targets.
    """

    windows: int = 0
    pauses: list[float] = msgspec.field(default_factory=lambda: [0.0] * CLASSES)
    ahead: float = 0.0
    spread: float = 0.0
    forgot: float = 0.0
    had: float = 0.0

    @property
    def forgets(self) -> float:
        """The share of its parent's gain that a candidate usually loses on past targets: what is
        right goes with the time, the more the longer windows are."""
        return max(0.0, self.forgot) / self.had if self.had else 0.0

    def after(self, window: TrainingWindow, behind: Paired | None, past: Paired) -> Profile:
        """The profile once ``window`` is published; ``behind`` is what live lost to its
        counts, ``past`` what the candidate lost to its parent on past targets."""
        pauses = pause_shares(window)
        retained = min(_MEMORY, self.windows / (self.windows + 1))
        step = 0.0 if behind is None else -behind.loss - self.ahead
        return Profile(
            self.windows + 1,
            [
                retained * old + (1 - retained) * new
                for old, new in zip(self.pauses, pauses, strict=True)
            ],
            self.ahead + (1 - retained) * step,
            retained * (self.spread + (1 - retained) * step**2),
            retained * self.forgot + (1 - retained) * past.s,
            retained * self.had + (1 - retained) * past.base,
        )


def implausible(
    window: TrainingWindow, behind: Paired | None, profile: Profile, settings: GateSettings
) -> str | None:
    """Why this window must not be trained, ``None`` where nothing speaks against it."""
    item, share = _top_item(window)
    if surely(share, window.events, settings.confidence) > settings.item_share:
        return f"item {item!r} has {share:.0%} of {window.events} events"
    if profile.windows < _RIPE:
        return None
    noise = 0.5 * math.sqrt(CLASSES / window.events)
    shift = 0.5 * float(np.abs(np.array(pause_shares(window)) - profile.pauses).sum())
    if shift - noise > settings.clock_shift:
        return (
            f"{shift:.0%} of the pauses between a user's events are of another length than before"
        )
    if behind is not None and _fell_behind(behind, profile, settings.confidence):
        return (
            f"events do not follow from histories: live is {behind.loss:.4f} of gain behind its "
            f"own counts, which know no user, and was {profile.ahead:.4f} ahead of them"
        )
    return None


def pause_shares(window: TrainingWindow) -> list[float]:
    """Shares of the classes of pauses before each target that has an event before it."""
    pauses = [
        (after.time - before.time) / 1000
        for example in window.examples
        for before, after in itertools.pairwise([*example.context[-1:], *example.targets])
    ]
    classes = np.searchsorted(_PAUSES_S, np.maximum(pauses, 0.0), side="right") + 1
    classes[np.array(pauses) < 0] = 0
    counts = np.bincount(classes, minlength=CLASSES).astype(np.float64)
    return [float(share) for share in counts / max(1.0, counts.sum())]


def _top_item(window: TrainingWindow) -> tuple[object, float]:
    items = Counter(target.item for example in window.examples for target in example.targets)
    item, number = items.most_common(1)[0]
    return item, number / window.events


def surely(share: float, number: int, confidence: float) -> float:
    """The lower bound of a share seen in ``number`` draws, by so many standard errors (Wilson
    1927); the upper one is what surely is of the rest."""
    z = confidence**2 / number
    spread = math.sqrt(z * share * (1 - share) + z**2 / 4)
    return (share + z / 2 - spread) / (1 + z)


def _fell_behind(behind: Paired, profile: Profile, confidence: float) -> bool:
    """Behind for sure, and further from before than windows differ among themselves."""
    spread = math.sqrt(profile.spread + behind.error**2)
    return (
        behind.worse(0.0, min(2.0, confidence))
        and profile.ahead + behind.loss > confidence * spread
    )
