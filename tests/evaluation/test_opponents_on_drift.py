"""On the made-up stream that drifts, opponents that fade are ahead of counts of all time."""

from __future__ import annotations

import numpy as np

from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.stream import DriftingStream
from everfresh.evaluation.comparison import Comparison
from everfresh.evaluation.file_windows import by_count, cut_windows
from everfresh.model.metrics import Ranks
from everfresh.model.opponents.fading import Choice
from everfresh.model.opponents.opponents import Opponents
from everfresh.trainer.scoring.target_groups import Groups

EVENTS, WINDOW = 8_000, 500


def hit_rate(ranks: list[Ranks], masks: list[Groups] | None = None) -> float:
    """HR@10 over all windows, or over their fresh targets."""
    joined = np.concatenate(ranks)
    if masks is not None:
        joined = joined[np.concatenate([groups["fresh"] for groups in masks])]
    return float((joined <= 10).mean())


def test_what_fades_is_ahead_of_counts_of_all_time_and_knows_fresh_items() -> None:
    # Items live for minutes here, so that a short stream has many lives of them.
    settings = DriftSettings(
        items_per_hour=100.0, rise_minutes=6.0, half_life_hours=0.1, life_hours=2.0
    )
    events = DriftingStream(settings, EVENTS)
    windows = list(cut_windows(events, by_count(EVENTS, EVENTS // WINDOW, 0.0), 100))
    comparison = Comparison.of(windows, exclude_seen=False)
    opponents = Opponents()
    ranked: dict[str, list[Ranks]] = {}
    for at, window in enumerate(windows):
        if at > 4:
            for name, contender in opponents.contenders().items():
                ranked.setdefault(name, []).append(contender.ranks(window.examples, False))
            chosen = opponents.popularity.choice, opponents.markov.choice
            opponents.popularity.choice, opponents.markov.choice = Choice(), Choice()
            for name in ("popularity", "markov"):
                ranks = opponents.contenders()[name].ranks(window.examples, False)
                ranked.setdefault(f"{name} of all time", []).append(ranks)
            opponents.popularity.choice, opponents.markov.choice = chosen
        opponents.update(window.examples, at)
    masks = list(comparison.groups[5:])
    for name in ("popularity", "markov"):
        assert hit_rate(ranked[name]) > 1.2 * hit_rate(ranked[f"{name} of all time"])
        fresh = hit_rate(ranked[name], masks)
        assert fresh > hit_rate(ranked[f"{name} of all time"], masks) + 0.05
    assert hit_rate(ranked["vmis-knn"]) > hit_rate(ranked["popularity of all time"])
    assert opponents.popularity.choice.best > 0
    assert opponents.markov.choice.best > 0
