"""What is the made-up stream like, and how far do counting and its law get? (Decision 34.)

    python -m benchmarks.studies.drifting [--quick] [--json FILE] [--seeds A,B]

Good: near the profile of a news site (``docs/quality.md``), and an observer well above the best
counting. Each window of 2,000 clicks is ranked before it is counted. Counting is done here with
plain dicts, apart from the product's own baselines.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.harness.options import option_parser
from benchmarks.harness.report import show_table, write_figures
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.stream import Click, DriftingStream
from everfresh.adapters.files.drifting.writing import summarize

WINDOW = 2000
PLACES = ("first", "second", "third", "later")
FORGOTTEN = 1e-4
Pairs = Sequence[tuple[int | None, int]]
"""The user's item before (None at their first click) and the item that was clicked."""


class Counts:
    """Popularity and last-item Markov filled up with it; all counts fade with each window."""

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._popular: dict[int, float] = {}
        self._follow: defaultdict[int, dict[int, float]] = defaultdict(dict)
        self._hot: list[int] = []
        self._ranked: dict[int | None, list[int]] = {}

    def popular(self, _last: int | None) -> list[int]:
        """The ten items that were clicked most."""
        return self._hot

    def markov(self, last: int | None) -> list[int]:
        """The ten that followed ``last`` most often, then those that were clicked most."""
        if last not in self._ranked:
            self._ranked[last] = self._rank(self._follow.get(last, {}) if last is not None else {})
        return self._ranked[last]

    def _rank(self, counts: dict[int, float]) -> list[int]:
        best = sorted(counts, key=lambda item: (-counts[item], -self._popular.get(item, 0.0)))[:10]
        return (best + [item for item in self._hot if item not in best])[:10]

    def learn(self, pairs: Pairs) -> None:
        """Let the counts fade, then count a window."""
        for counts in (self._popular, *self._follow.values()):
            _fade(counts, self._keep)
        for last, item in pairs:
            self._popular[item] = self._popular.get(item, 0.0) + 1.0
            if last is not None:
                counts = self._follow[last]
                counts[item] = counts.get(item, 0.0) + 1.0
        self._hot = sorted(self._popular, key=lambda item: -self._popular[item])[:10]
        self._ranked.clear()


def _fade(counts: dict[int, float], keep: float) -> None:
    if keep < 1.0:
        for item in list(counts):
            counts[item] *= keep
            if counts[item] < FORGOTTEN:
                del counts[item]


def profile(clicks: Sequence[Click]) -> dict[str, float]:
    """What the stream is like."""
    windows = [clicks[at : at + WINDOW] for at in range(0, len(clicks), WINDOW)]
    counts = [Counter(click.event.item_id for click in window) for window in windows]
    span: dict[int, tuple[int, int, int]] = {}
    for click in clicks:
        item = int(click.event.item_id)
        first, _, times = span.get(item, (click.event.time, 0, 0))
        span[item] = first, click.event.time, times + 1
    lives = sorted((last - first) / 3.6e6 for first, last, times in span.values() if times >= 5)
    figures = {
        "users": sum(click.place == 1 for click in clicks),
        "items": len(span),
        "hours": (clicks[-1].event.time - clicks[0].event.time) / 3.6e6,
        "items_per_window": sum(map(len, counts)) / len(counts),
        "top_ten_share": sum(sum(sorted(c.values())[-10:]) for c in counts) / len(clicks),
        "life_hours_p50": lives[len(lives) // 2],
        "life_hours_p90": lives[len(lives) * 9 // 10],
    }
    places = Counter(_place(click) for click in clicks)
    return figures | {f"share_{place}": places[place] / len(clicks) for place in PLACES}


def hit_rates(clicks: Sequence[Click]) -> dict[str, float]:
    """HR@10 of each contender, over all and by place in the user's sequence, without window 0."""
    still, half, fifth = Counts(1.0), Counts(0.5), Counts(0.2)
    lists = {
        "popularity": still.popular,
        "markov": still.markov,
        "popularity_fading_02": fifth.popular,
        "markov_fading_05": half.markov,
        "markov_fading_02": fifth.markov,
    }
    hits: Counter[tuple[str, str]] = Counter()
    tested: Counter[str] = Counter()
    last: dict[int, int] = {}
    for at in range(0, len(clicks), WINDOW):
        window = clicks[at : at + WINDOW]
        pairs = list(_pairs(window, last))
        for click, (before, item) in zip(window, pairs, strict=True) if at else ():
            place = _place(click)
            tested[place] += 1
            hits["oracle", place] += click.rank <= 10
            hits["observer", place] += click.observed_rank <= 10
            for name, ranked in lists.items():
                hits[name, place] += item in ranked(before)
        for counts in (still, half, fifth):
            counts.learn(pairs)
    figures = {}
    for name in (*lists, "observer", "oracle"):
        figures[f"hr10_{name}"] = sum(hits[name, place] for place in PLACES) / tested.total()
        for place in PLACES:
            figures[f"hr10_{name}_{place}"] = hits[name, place] / max(1, tested[place])
    return figures


def _pairs(window: Sequence[Click], last: dict[int, int]) -> Iterator[tuple[int | None, int]]:
    for click in window:
        user, item = int(click.event.user_id), int(click.event.item_id)
        yield last.get(user), item
        last[user] = item


def _place(click: Click) -> str:
    return PLACES[min(click.place, len(PLACES)) - 1]


def measure(seed: int, number: int) -> dict[str, float]:
    """Every figure of one seed's stream."""
    used = time.process_time()
    clicks = list(DriftingStream(DriftSettings(seed=seed), number).clicks())
    spent = time.process_time() - used
    made = summarize(clicks)
    return {
        "microseconds_per_event": spent / number * 1e6,
        **profile(clicks),
        **hit_rates(clicks),
        "ceiling_hr10_oracle": made.oracle.hr10,
        "ceiling_ndcg10_oracle": made.oracle.ndcg10,
        "ceiling_hr10_observer": made.observer.hr10,
        "ceiling_ndcg10_observer": made.observer.ndcg10,
    }


def show(by_seed: Mapping[int, Mapping[str, float]]) -> None:
    """A column for each seed."""
    names = list(next(iter(by_seed.values())))
    show_table(
        f"a drifting stream in windows of {WINDOW:,} clicks",
        ["figure", *(f"seed {seed}" for seed in by_seed)],
        [[name, *(f"{of[name]:,.3f}" for of in by_seed.values())] for name in names],
        good="near the profile of a news site, and the observer well above the best counting",
    )


def figures(by_seed: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Means over the seeds."""
    runs = list(by_seed.values())
    return {name: round(sum(run[name] for run in runs) / len(runs), 4) for name in runs[0]}


def main(argv: Sequence[str] | None = None) -> None:
    """Make the stream for each seed, count, print, write."""
    parser = option_parser("studies.drifting", __doc__)
    parser.add_argument("--seeds", default="17,18,19", help="with commas between")
    options = parser.parse_args(argv)
    number, began = (5000 if options.quick else 200_000), time.monotonic()
    seeds = [17] if options.quick else [int(seed) for seed in options.seeds.split(",")]
    by_seed = {seed: measure(seed, number) for seed in seeds}
    show(by_seed)
    write_figures(figures(by_seed), began, options.json)


if __name__ == "__main__":
    main()
