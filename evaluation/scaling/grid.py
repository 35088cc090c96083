"""What all cells of a grid share: prefixes in time, the later window, its catalogue and targets.

Events are in order of time. The last share of them is the *window*; prefixes begin with the first
event, and each is half the next; the longest ends where the window begins. The *catalogue* are the
items that the shortest prefix admits, so that every cell knows all of them; targets on other items
are left out of the loss, and refusals are. What is before a target in its user's history is read by
every cell, whatever it has learnt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.event import Event, ItemId
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.evaluation.file_windows import cut_windows
from everfresh.model.vocabulary.admission import Limits, sighted
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.trainer.windows.refusals import marked

FEWEST_TARGETS = 200
FEWEST_EVENTS = 500
"""Of the shortest prefix."""


@dataclass(frozen=True)
class Grid:
    """``wanted`` ``(targets,)`` is each target's place in the catalogue, -1 for none of it and for
    refusals; ``choosing`` which targets are of every other user. ``digest`` names all of it."""

    prefixes: dict[int, TrainingWindow]
    window: Sequence[DecodedExample]
    catalogue: Sequence[ItemId]
    wanted: npt.NDArray[np.int64]
    choosing: npt.NDArray[np.bool_]
    digest: bytes

    @property
    def targets(self) -> int:
        """Those that the loss is measured on."""
        return int(np.count_nonzero(self.wanted >= 0))


def lay_grid(
    events: Sequence[Event], window_share: float, prefixes: int, settings: Settings
) -> Grid:
    """The grid over these events; ``SettingsError`` where they are too few for it."""
    learnt = len(events) - round(len(events) * window_share)
    lengths = [learnt >> halvings for halvings in reversed(range(prefixes))]
    if lengths[0] < FEWEST_EVENTS:
        raise SettingsError(
            f"{len(events):,} events make a shortest prefix of {lengths[0]:,}, and {FEWEST_EVENTS} "
            f"are needed: take a longer file{', or fewer --prefixes' if prefixes > 4 else ''}"
        )
    length = settings.state.history_length
    refusals = settings.trainer.refusals
    windows = {
        each: marked(next(cut_windows(events[:each], lambda place, event: 0, length)), refusals)
        for each in lengths
    }
    *_, later = cut_windows(events, lambda place, event: int(place >= learnt), length)
    later = marked(later, refusals)
    catalogue = _admitted(windows[lengths[0]], settings)
    places = {item: at for at, item in enumerate(catalogue)}
    wanted = [
        -1 if refused else places.get(target.item, -1)
        for each in later.examples
        for target, refused in zip(each.targets, each.marks, strict=True)
    ]
    owners = [at % 2 == 0 for at, each in enumerate(later.examples) for _ in each.targets]
    grid = Grid(
        windows,
        later.examples,
        catalogue,
        np.array(wanted, np.int64),
        np.array(owners, np.bool_),
        _digest(events, lengths, length),
    )
    halves = [int(np.count_nonzero((grid.wanted >= 0) & half)) for half in _halves(grid)]
    if min(halves) < FEWEST_TARGETS:
        raise SettingsError(
            f"{grid.targets:,} of the window's {len(wanted):,} events are on items that the first "
            f"{lengths[0]:,} events bring, {min(halves)} of them of one half of the users, and "
            f"{FEWEST_TARGETS} of each half are needed: take a longer file, a larger --window, or "
            "fewer --prefixes, whose shortest one then knows more items"
        )
    return grid


def _halves(grid: Grid) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return grid.choosing, ~grid.choosing


def _admitted(window: TrainingWindow, settings: Settings) -> list[ItemId]:
    """Items that get a row when this window is the first."""
    vocabulary = Vocabulary(settings.model.admit_after)
    items, users = sighted(window.examples)
    vocabulary.admit(items, window.label, users, Limits.of(settings.trainer))
    return [vocabulary.item(int(row)) for row in vocabulary.item_rows()]


def _digest(events: Sequence[Event], lengths: Sequence[int], history: int) -> bytes:
    hashed = hashlib.blake2b(str((lengths, history)).encode(), digest_size=16)
    for event in events:
        told = (event.user_id, event.item_id, event.type, event.time, event.value)
        hashed.update(msgspec.json.encode(told))
    return hashed.digest()
