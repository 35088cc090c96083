"""What ``cold_items`` comes to: its table, its margins, and its figures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from benchmarks.harness.report import show_table
from benchmarks.studies.cold_items.measure import Measured
from benchmarks.studies.cold_items.streams import GROUPS
from everfresh.evaluation.bootstrap import mean_with_interval, metric_values
from everfresh.model.opponents.opponents import OPPONENTS

SHELF = "cold among cold"
_OVER = ("none", "markov", "popularity")


def show(figures: Mapping[str, float], found: Measured) -> None:
    """A line for each contender, and what arms gain over others."""
    heads = [f"{group} ({int(figures[f'{group}_events']):,})" for group in GROUPS]
    rows = [
        [name, *(_said(figures, f"{kind}_hr10_{name}", ".4f") for kind in (*GROUPS, "shelf"))]
        for name in found.ranked
    ]
    good = "an arm ahead of none, markov and popularity on fresh items, level on others"
    show_table("HR@10 ↑", ["contender", *heads, SHELF], rows, good=good)
    for group, name, over in _pairs(found):
        gain = _said(figures, f"{group}_{name}_over_{over}", "+.4f")
        print(f"{group}: {name} over {over} {gain}")


def figures(found: Measured, seed: int) -> dict[str, float]:
    """HR@10 of each group by contender, and margins, each with its interval."""
    named = {f"{group}_events": float((found.groups == group).sum()) for group in GROUPS}
    hits = {name: metric_values(ranks, "hr10") for name, ranks in found.ranked.items()}
    for name, group in itertools.product(hits, GROUPS):
        at = found.groups == group
        named |= _mean(f"{group}_hr10_{name}", hits[name][at], found.users[at], seed)
    for name, ranks in found.shelf.items():
        at = (found.groups == "cold") & (ranks > 0)
        if at.any():
            among = metric_values(ranks[at], "hr10")
            named |= _mean(f"shelf_hr10_{name}", among, found.users[at], seed)
    for group, name, over in _pairs(found):
        at = found.groups == group
        gained = (hits[name] - hits[over])[at]
        named |= _mean(f"{group}_{name}_over_{over}", gained, found.users[at], seed)
    return named


def _pairs(found: Measured) -> list[tuple[str, str, str]]:
    """Group, arm, and who it is compared with."""
    arms = [name for name in found.ranked if name not in OPPONENTS]
    all_ = itertools.product(GROUPS, arms, _OVER)
    return [each for each in all_ if each[1] != each[2] and each[2] in found.ranked]


def _mean(name: str, values: np.ndarray, users: np.ndarray, seed: int) -> dict[str, float]:
    mean, low, high = mean_with_interval(values, users, seed)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def _said(figures: Mapping[str, float], name: str, form: str) -> str:
    if name not in figures:
        return ""
    low, high = figures[f"{name}_low"], figures[f"{name}_high"]
    return f"{figures[name]:{form}} [{low:{form}}, {high:{form}}]"
