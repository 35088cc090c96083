"""What do the opponents cost beside a window, as the catalogue grows?

    python -m benchmarks.opponents [--quick] [--json FILE]

Good: milliseconds an event at most, and hardly more for a million items than for a thousand: what
stands beside every window must follow the window's events alone.

Opponents learn a catalogue, each item once and then clicks in windows of 2,000 events. Items are
drawn by Zipf's law over a random order of the catalogue, a third of all events on the 200 newest;
users have a history of up to 20 clicks. Then windows are ranked and learnt, in processor time of
one thread. Encoding is what a checkpoint of everything costs, which is not bounded by the window.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import median, show_table, write_figures
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample
from everfresh.model.opponents.opponent_file import encode_opponents
from everfresh.model.opponents.opponents import OPPONENTS, Opponents
from everfresh.model.vocabulary.admission import Limits

SIZES = (1_000, 10_000, 100_000, 1_000_000)
EVENTS, USERS, HISTORY = 2_000, 5_000, 20
LIMITS = Limits(1_000, 1_000_000)


class Measured(NamedTuple):
    """CPU time of one window by opponent, in ms; what a checkpoint takes."""

    rank_ms: Mapping[str, float]
    learn_ms: Mapping[str, float]
    encode_ms: float
    mb: float

    @property
    def total_ms(self) -> float:
        """Of all opponents together."""
        return sum(self.rank_ms.values()) + sum(self.learn_ms.values())


class Stream:
    """Made-up windows over a catalogue of a size."""

    def __init__(self, items: int) -> None:
        self._items = items
        self._rng, self._numpy = random.Random(1), np.random.default_rng(1)
        self._order = self._numpy.permutation(items)
        self._histories: list[deque[Interaction]] = [deque(maxlen=HISTORY) for _ in range(USERS)]
        self._number = 0

    def catalogue(self) -> DecodedExample:
        """Each item once, by a user of their own."""
        targets = [Interaction(item, "click", 0) for item in range(self._items)]
        stamps = list(range(self._items))
        return DecodedExample(-1, [], targets, stamps, stamps)

    def window(self) -> list[DecodedExample]:
        """The next 2,000 events."""
        items = self._order[self._numpy.zipf(1.2, EVENTS) % self._items]
        new = self._number // 20 + self._numpy.integers(0, 200, EVENTS)
        items = np.where(self._numpy.random(EVENTS) < 1 / 3, new % self._items, items)
        by_user: dict[int, list[tuple[Interaction, int]]] = {}
        for item in items.tolist():
            self._number += 1
            click = Interaction(item, "click", self._number)
            by_user.setdefault(self._rng.randrange(USERS), []).append((click, self._number))
        made = []
        for user, clicks in by_user.items():
            targets, stamps = [click for click, _ in clicks], [at for _, at in clicks]
            history = self._histories[user]
            made.append(DecodedExample(user, list(history), targets, stamps, stamps))
            history.extend(targets)
        return made


def measure(size: int, before: int, windows: int) -> Measured:
    """Medians over ``windows``, after ``before`` others."""
    stream, opponents = Stream(size), Opponents()
    opponents.update([stream.catalogue()])
    for _ in range(before):
        opponents.update(stream.window(), 0, LIMITS)
    ranked: dict[str, list[float]] = {name: [] for name in OPPONENTS}
    learnt: dict[str, list[float]] = {name: [] for name in OPPONENTS}
    for _ in range(windows):
        window = stream.window()
        for name, opponent in opponents.contenders().items():
            began = time.process_time()
            opponent.ranks(window, exclude_seen=False)
            ranked[name].append((time.process_time() - began) * 1000)
        took = dict.fromkeys(OPPONENTS, 0.0)
        for name, step in opponents.steps(window, 0, LIMITS, exclude_seen=False):
            began = time.process_time()
            step()
            took[name] += (time.process_time() - began) * 1000
        for name in OPPONENTS:
            learnt[name].append(took[name])
    began = time.process_time()
    raw = encode_opponents(opponents)
    return Measured(
        {name: median(values) for name, values in ranked.items()},
        {name: median(values) for name, values in learnt.items()},
        (time.process_time() - began) * 1000,
        len(raw) / 1e6,
    )


def show(results: Mapping[int, Measured]) -> None:
    """A line for each size."""
    parts = [(verb, name) for name in OPPONENTS for verb in ("rank", "learn")]
    columns = ["items", *(f"{name}: {verb} ms ↓" for verb, name in parts)]
    rows = []
    for size, of in results.items():
        values = [(of.rank_ms if verb == "rank" else of.learn_ms)[name] for verb, name in parts]
        rows.append((f"{size:,}", *values, of.total_ms, of.encode_ms, of.mb))
    show_table(
        f"The opponents beside a window of {EVENTS:,} events, CPU time",
        (*columns, "all ms ↓", "checkpoint ms ↓", "checkpoint MB ↓"),
        rows,
        good="hardly more for a million items than for a thousand",
    )


def figures(results: Mapping[int, Measured]) -> dict[str, float]:
    """Each value by size and opponent."""
    named: dict[str, float] = {}
    for size, of in results.items():
        for name in OPPONENTS:
            key = name.replace("-", "_")
            named[f"{key}_rank_{size}_ms"] = round(of.rank_ms[name], 1)
            named[f"{key}_learn_{size}_ms"] = round(of.learn_ms[name], 1)
        named[f"all_{size}_ms"] = round(of.total_ms, 1)
        named[f"encode_{size}_ms"] = round(of.encode_ms, 1)
        named[f"checkpoint_{size}_mb"] = round(of.mb, 2)
    return named


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("opponents", __doc__, argv)
    began = time.monotonic()
    sizes = SIZES[:2] if options.quick else SIZES
    before, windows = (3, 3) if options.quick else (20, 5)
    results = {size: measure(size, before, windows) for size in sizes}
    show(results)
    write_figures(figures(results), began, options.json)


if __name__ == "__main__":
    main()
