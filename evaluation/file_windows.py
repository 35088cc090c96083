"""Training windows straight from a file's events: the stream's fold and cut, without a log.

What the stream worker makes of the same events, one partition long: each user with events in a
window yields an example, their last events before it as context. The window is a number of events
or a stretch of event time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.event import Event, UserId
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.windows.refusals import marked

_Appended = tuple[Interaction, int, int]
"""A target, its place in the file and its append time."""

Label = Callable[[int, Event], int]
"""The window of an event, from its place in the file and itself; never falls."""


def by_count(events: int, windows: int, first: float) -> Label:
    """``windows`` of as many events each; the first holds the share ``first`` of all, if not 0."""
    head = round(events * first) if first else -(-events // windows)
    rest = max(1, -(-(events - head) // max(1, windows - 1)))
    return lambda place, event: 0 if place < head else 1 + (place - head) // rest


def by_time(seconds: float, begin_ms: int, first_ms: int) -> Label:
    """Windows of ``seconds``; the first one ends ``first_ms`` later than it otherwise would.

    ``SettingsError`` where they are shorter than a millisecond, in which times are counted."""
    length = round(seconds * 1000)
    if length < 1:
        raise SettingsError(f"windows are 0.001 seconds long at least, found {seconds:g}")
    return lambda place, event: max(0, (event.time - begin_ms - first_ms) // length)


@dataclass(frozen=True)
class FileWindows:
    """Windows of a file's first ``number`` events, as the trainer gets them, refusals marked.

    They are cut anew for each who goes through them: one is in memory at a time, beside the users'
    histories. ``events`` can be iterated several times.
    """

    events: Iterable[Event]
    number: int
    label: Label
    settings: Settings

    def __iter__(self) -> Iterator[TrainingWindow]:
        events = itertools.islice(self.events, self.number)
        for window in cut_windows(events, self.label, self.settings.state.history_length):
            yield marked(window, self.settings.trainer.refusals)


def cut_windows(
    events: Iterable[Event], label: Label, history_length: int
) -> Iterator[TrainingWindow]:
    """Windows in order, those without events left out; labels as given.

    An event's offset is its place in the file, and it is appended no sooner than those before it.
    """
    histories: dict[UserId, list[Interaction]] = {}
    targets: dict[UserId, list[_Appended]] = {}
    current: int | None = None
    appended = 0
    for place, event in enumerate(events):
        here = label(place, event)
        if current is not None and here != current:
            yield _window(current, histories, targets, history_length)
            targets = {}
        current = here
        appended = max(appended, event.time)
        done = Interaction(event.item_id, event.type, event.time, event.value)
        targets.setdefault(event.user_id, []).append((done, place, appended))
    if current is not None:
        yield _window(current, histories, targets, history_length)


def _window(
    label: int,
    histories: dict[UserId, list[Interaction]],
    targets: dict[UserId, list[_Appended]],
    history_length: int,
) -> TrainingWindow:
    examples = []
    for user, events in targets.items():
        history = histories.setdefault(user, [])
        done = [event for event, _, _ in events]
        places, times = [place for _, place, _ in events], [time for _, _, time in events]
        examples.append(DecodedExample(user, list(history), done, places, times))
        history.extend(done)
        del history[:-history_length]
    return TrainingWindow(label, {}, examples, {})
