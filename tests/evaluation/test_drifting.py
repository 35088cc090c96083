"""A short quality check on the stream that drifts, by the code and the settings that ship."""

from __future__ import annotations

import numpy as np

from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.stream import DriftingStream
from everfresh.contracts.settings import Settings
from everfresh.evaluation.comparison import Comparison, compare
from everfresh.evaluation.file_windows import by_count, cut_windows
from everfresh.evaluation.results import ResultLine, WindowScore

EVENTS, WINDOWS = 6000, 20
HOURLY = DriftSettings(clicks_per_hour=500.0)
"""Twelve hours, in windows of some 36 minutes."""


def test_on_a_stream_that_drifts_learning_is_ahead_of_standing_still_and_of_popularity() -> None:
    settings, told = Settings(), list[ResultLine]()
    stream = DriftingStream(HOURLY, EVENTS)
    label = by_count(EVENTS, WINDOWS, 0.0)
    windows = list(cut_windows(stream, label, settings.state.history_length))
    compare(Comparison.of(windows, exclude_seen=False), ["frozen", "replay"], settings, told.append)
    hr10 = {
        name: np.mean([line.scores["hr10"] for line in told if of(line, name)])
        for name in ("replay", "frozen", "popularity")
    }
    assert hr10["replay"] > hr10["frozen"] + 0.15
    assert hr10["replay"] > hr10["popularity"] + 0.02


def of(line: ResultLine, name: str) -> bool:
    """Whether this is a score of that contender, of a window after the first."""
    return isinstance(line, WindowScore) and line.contender == name and bool(line.scores)
