"""What do events bring by which users say no (``trainer.refusals``)? Backs docs/quality.md.

    python -m benchmarks.studies.refusals [--quick] [--json FILE] [--data PATH]

Good: fewer films among the ten that the user goes on to rate below 3, and as many that the user
rates better.

On MovieLens 100K in windows of 2,000 ratings, all films new to the user are ranked before each
window is learned: once where every rating is a target, once where those below 3 are refusals.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import show_table, write_figures
from everfresh.adapters.files.datasets import DATASETS, event_check, fetch_ml100k
from everfresh.contracts.event import Event
from everfresh.contracts.settings import EventSettings, load_settings
from everfresh.evaluation.bootstrap import mean_with_interval, metric_values
from everfresh.evaluation.file_windows import by_count, cut_windows
from everfresh.model.metrics import Ranks
from everfresh.trainer.learning.learner import fresh_learner
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.windows.refusals import marked

WINDOW, EVENTS, QUICK = 2_000, 60_000, 12_000
KINDS: dict[str, list[str]] = {"all": [], "refusals": ["rating<3"]}


class Ranked(NamedTuple):
    """Of each rating of all windows but the first: rank, number of the user, whether 3 or more."""

    ranks: Ranks
    users: NDArray[np.int64]
    liked: NDArray[np.bool_]


def ranked(events: list[Event], kinds: list[str]) -> Ranked:
    """Test, then train, with these ``trainer.refusals``."""
    settings = load_settings({"trainer": {"expire_after_s": 0.0}})
    learner = fresh_learner(settings)
    number = -(-len(events) // WINDOW)
    ranks: list[Ranks] = []
    users: list[int] = []
    liked: list[bool] = []
    numbers: dict[object, int] = {}
    label = by_count(len(events), number, 0.0)
    for at, window in enumerate(cut_windows(events, label, settings.state.history_length)):
        if at:
            ranks.append(learner.network.recommender.ranks(window.examples, exclude_seen=True))
            for example in window.examples:
                user = numbers.setdefault(example.user, len(numbers))
                users += [user] * len(example.targets)
                liked += [(target.value or 0.0) >= 3 for target in example.targets]
        part = marked(window, kinds)
        train_window(learner.task(part, settings, at))
        learner.strategy.remember(learner.network, part, at)
    return Ranked(np.concatenate(ranks), np.array(users), np.array(liked))


class Hits(NamedTuple):
    """Of one kind of ratings: how many, HR@10 by what was taught, and what refusals gain by it,
    with its interval."""

    number: int
    means: dict[str, float]
    gain: tuple[float, float, float]


def measure(events: list[Event]) -> dict[str, Hits]:
    """Rank twice, compare rating by rating: those that are liked, and those that are refused."""
    runs = {name: ranked(events, kinds) for name, kinds in KINDS.items()}
    liked = runs["all"].liked
    found: dict[str, Hits] = {}
    for name, mask in (("liked", liked), ("refused", ~liked)):
        hits = {kind: metric_values(run.ranks, "hr10")[mask] for kind, run in runs.items()}
        gained = hits["refusals"] - hits["all"]
        gain = mean_with_interval(gained, runs["all"].users[mask], 17)
        means = {kind: float(hits[kind].mean()) for kind in KINDS}
        found[name] = Hits(int(mask.sum()), means, gain)
    return found


def show(found: dict[str, Hits]) -> None:
    """One table."""
    rows: list[list[object]] = []
    for name, each in found.items():
        mean, low, high = each.gain
        interval = f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
        rows.append(
            [name, f"{each.number:,}", *(f"{each.means[kind]:.4f}" for kind in KINDS), interval]
        )
    show_table(
        "HR@10 of films that are then rated 3 and better (liked), and below 3 (refused)",
        ["ratings", "number", "all taught", "below 3 refused", "difference (95 %)"],
        rows,
        good="more for liked, less for refused",
    )


def figures(found: dict[str, Hits]) -> dict[str, float]:
    """The flat object."""
    flat: dict[str, float] = {"events": sum(each.number for each in found.values())}
    for name, each in found.items():
        mean, low, high = each.gain
        flat |= {f"hr10_{name}_{kind}": value for kind, value in each.means.items()}
        flat |= {f"gain_{name}": mean, f"gain_{name}_low": low, f"gain_{name}_high": high}
    return flat


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and report."""
    options = parse_options("studies.refusals", __doc__, argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    path = options.data or fetch_ml100k()
    events = list(DATASETS["ml-100k"](path, event_check(EventSettings())))
    found = measure(events[: QUICK if options.quick else EVENTS])
    show(found)
    write_figures(figures(found), began, options.json)


if __name__ == "__main__":
    main()
