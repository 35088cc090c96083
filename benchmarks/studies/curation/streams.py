"""Streams in windows: one that drifts, the same with bots and repeats, and MovieLens 100K."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from everfresh.adapters.files.datasets import DATASETS, event_check, fetch_ml100k
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.stream import DriftingStream
from everfresh.contracts.event import Event
from everfresh.contracts.settings import EventSettings, load_settings
from everfresh.contracts.window import TrainingWindow
from everfresh.evaluation.file_windows import by_count, cut_windows

WINDOWS, WINDOW = 16, 2_000
BOTS, REPEATS = 0.2, 0.1786
"""Share of clicks that bots make, and of people's clicks that come twice: together they are 30 %
of the stream."""
NAMES = ("drifting", "spoilt", "ml-100k")


@dataclass(frozen=True)
class Stream:
    """``injected`` ``(events,)`` is by place in the stream, which is an event's offset."""

    windows: Sequence[TrainingWindow]
    injected: NDArray[np.bool_]
    exclude_seen: bool

    def injected_in(self, window: TrainingWindow) -> NDArray[np.bool_]:
        """Of a window's targets, in order."""
        return self.injected[[at for example in window.examples for at in example.offsets]]


def stream_of(
    name: str, seed: int, windows: int, size: int = WINDOW, data: Path | None = None
) -> Stream:
    """The first ``windows`` of a stream, of ``size`` events each.

    What is injected follows from the ``seed``.
    """
    most = windows * size
    if name == "ml-100k":
        path = data or fetch_ml100k()
        events = list(DATASETS["ml-100k"](path, event_check(EventSettings())))[:most]
        return _cut(events, [False] * len(events), size, exclude_seen=True)
    drift = DriftSettings(seed=seed, bot_share=BOTS if name == "spoilt" else 0.0)
    made = DriftingStream(drift, most)
    if name == "drifting":
        return _cut(list(made), [False] * most, size, exclude_seen=False)
    events, injected = _with_repeats(made, drift.bots, seed)
    return _cut(events[:most], injected[:most], size, exclude_seen=False)


def _with_repeats(stream: DriftingStream, bots: int, seed: int) -> tuple[list[Event], list[bool]]:
    """The users with the first numbers are the bots; a client that hangs sends a click twice."""
    chance = random.Random(seed)
    events: list[Event] = []
    injected: list[bool] = []
    for event in stream:
        bot = int(event.user_id) <= bots
        events.append(event)
        injected.append(bot)
        if not bot and chance.random() < REPEATS:
            events.append(msgspec.structs.replace(event, id=f"{event.id}:again"))
            injected.append(True)
    return events, injected


def _cut(
    events: Sequence[Event], injected: Sequence[bool], size: int, *, exclude_seen: bool
) -> Stream:
    number = len(events) // size
    label = by_count(number * size, number, 0.0)
    length = load_settings({}).state.history_length
    windows = list(cut_windows(events[: number * size], label, length))
    return Stream(windows, np.array(injected), exclude_seen)
