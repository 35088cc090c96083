"""Processor time of a window, by the number of tracks that the trainer trains."""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from contextlib import nullcontext

import torch

from benchmarks.synthetic.window_records import window_records
from everfresh.adapters.memory import MemoryReportSink, MemoryTracks, MemoryWindowSource
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.ports import ReportSink, WindowSource
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import load_settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.loop import TrainerLoop
from everfresh.trainer.tracks.schedule import TrackSchedule

_EVENTS, _USERS, _ITEMS = 600, 200, 2_000


def window_seconds(tracks: int, windows: int) -> float:
    """Mean processor seconds that all tracks together take for one window."""
    torch.set_num_threads(1)
    chance, ticks = random.Random(4), itertools.count(1)
    log = {0: window_records([_window(label, chance) for label in range(windows + 1)])}
    stores = MemoryTracks()
    for number in range(1, tracks):
        stores.declare(Track(name=f"t{number}", started=1, changed=1))
    with tempfile.TemporaryDirectory() as home:
        settings = load_settings({"home": home})

        def start(track: Track | None, source: WindowSource, reports: ReportSink) -> TrainerLoop:
            store = stores.store(track.name if track else DEFAULT)
            return TrainerLoop(settings, source, store, reports, lambda: next(ticks), track=track)

        schedule = TrackSchedule(
            stores, start, lambda: nullcontext(MemoryWindowSource(log)), MemoryReportSink()
        )
        schedule.open()
        schedule.round(0)  # the first window begins with nothing: it is another task
        before = time.process_time()
        trained = sum(len(schedule.round(0)) for _ in range(windows))
    assert trained == tracks * windows, "each track trains each window"
    return (time.process_time() - before) / windows


def _window(label: int, chance: random.Random) -> TrainingWindow:
    examples = []
    for user in range(_USERS):
        items = [1 + int(_ITEMS * chance.random() ** 3) for _ in range(23)]
        seen = [Interaction(item, "view", 1_000 * label + at) for at, item in enumerate(items)]
        places = list(range(_EVENTS // _USERS))
        examples.append(DecodedExample(user, seen[:20], seen[20:], places, places))
    return TrainingWindow(label, {}, examples, {})
