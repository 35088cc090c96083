"""What do a catalogue and its rules cost an answer, and a record?

    python -m benchmarks.items [--quick] [--json FILE]

Good: milliseconds that are near those of an answer without rules, µs of a record that do not grow
with the number of items, few bytes for an item.

One answer of ten items by what it obeys, at several sizes of the catalogue. One process, one
thread, no network, no history to compute. Times are processor time of this thread, so that other
work on the machine shows less. Each item has a title, a brand (of 1,000), two genres (of 20), a
price, a flag and an expiry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import show_table, write_figures
from benchmarks.synthetic.versions import untrained
from everfresh.contracts.items.record import Item, ItemChange
from everfresh.contracts.items.rules import Boost, Cap, Filter, Pin, Rules
from everfresh.contracts.settings import ItemSettings, ModelSettings
from everfresh.model.inference.retrieval import Query, best_items
from everfresh.model.recommender import Recommender
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.items.ruled import Wanted, ruled_items

SIZES, QUICK, K, ANSWERS = (10_000, 100_000, 1_000_000), (10_000,), 10, 100
_BATCH, _CHANGED, _NOW = 500, 100, 1_000
_PRICES = Filter(attribute="price", at_most=250)
_THREE = Filter(
    all=(
        Filter(attribute="genres", any_of=("genre-1", "genre-2")),
        Filter(attribute="price", at_least=10, at_most=90),
        Filter(none=(Filter(attribute="adult", equals=True),)),
    )
)
RULES: dict[str, Rules | None] = {
    "no rules": None,
    "filter, half fits": Rules(filter=_PRICES),
    "filter, three conditions": Rules(filter=_THREE),
    "filter, one in 1,000 fits": Rules(filter=Filter(attribute="brand", equals="brand-7")),
    "boost": Rules(boosts=(Boost(_PRICES, 0.5),)),
    "at most 2 of a genre": Rules(at_most=(Cap("genres", 2),)),
    "MMR": Rules(mmr_lambda=0.7),
    "two pins": Rules(pins=(Pin(7, 1), Pin(8, 3))),
}


class Times(NamedTuple):
    """Milliseconds of an answer: where its filter is new, and p50 and p99 after that; then where
    100 records came since the last."""

    first: float
    p50: float
    p99: float
    changed: float


class Measured(NamedTuple):
    """One size: the answer without a catalogue, by rules, and the cost of the catalogue itself."""

    plain_ms: float
    by_rules: dict[str, Times]
    record_us: float
    item_bytes: float
    version_ms: float


def measure(size: int, answers: int) -> Measured:
    """Everything at one size."""
    recommender = untrained(size, ModelSettings())
    user = torch.nn.functional.normalize(torch.arange(float(recommender.settings.dim)), dim=0)
    query, barred = Query(user.numpy(), np.array([3, 5, 7])), np.array([3, 5, 7])
    plain = _times(lambda: best_items(recommender, query, K, barred), answers)
    catalogue, record_us, item_bytes = _loaded(recommender, size)

    def answer(rules: Rules | None) -> None:
        ruled_items(catalogue, recommender, query, Wanted(K, barred, None, rules), _NOW)

    by_rules = {}
    for name, rules in RULES.items():
        first = _times(lambda: answer(rules), 1)[0]  # noqa: B023 - called at once
        again = _times(lambda: answer(rules), answers)  # noqa: B023
        changed = []
        for turn in range(10):
            catalogue.apply(_changes(turn * _CHANGED, _CHANGED), size + turn)
            changed += _times(lambda: answer(rules), 1)  # noqa: B023
        p50, p99 = np.percentile(again, [50, 99])
        by_rules[name] = Times(first, float(p50), float(p99), float(np.median(changed)))
    version = _times(lambda: catalogue.prepare(recommender), 10)
    return Measured(
        float(np.median(plain)), by_rules, record_us, item_bytes, float(np.median(version))
    )


def _loaded(recommender: Recommender, size: int) -> tuple[Catalogue, float, float]:
    """A catalogue, the µs that a record took, and the bytes that an item takes."""
    catalogue, spent, before = Catalogue(ItemSettings(most=2 * size)), 0.0, _resident()
    catalogue.prepare(recommender)
    for begin in range(0, size, _BATCH):
        changes = _changes(begin, min(_BATCH, size - begin))
        spent += _times(lambda: catalogue.apply(changes, begin + _BATCH), 1)[0]  # noqa: B023
    return catalogue, 1000 * spent / size, (_resident() - before) / size


def _changes(begin: int, number: int) -> list[ItemChange]:
    return [ItemChange(at, _item(at)) for at in range(begin + 1, begin + number + 1)]


def _item(at: int) -> Item:
    genres = [f"genre-{at % 20}", f"genre-{at * 7 % 20}"]
    attributes = {
        "title": f"Title of item {at}",
        "brand": f"brand-{at % 1000}",
        "genres": genres,
        "price": float(at % 500),
        "adult": at % 50 == 0,
    }
    return Item(id=at, attributes=attributes, expires=10**12 + at)


def _times(work: Callable[[], object], number: int) -> list[float]:
    """Milliseconds of a processor, of each call."""
    times = []
    for _ in range(number):
        began = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - began))
    return times


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def show(measured: Mapping[int, Measured]) -> None:
    """Print the tables."""
    for size, of in measured.items():
        rows = [["no catalogue", "", f"{of.plain_ms:.2f}", "", ""]]
        for name, times in of.by_rules.items():
            rows.append([name, *(f"{value:.2f}" for value in times)])
        show_table(
            f"{size:,} items (a record {of.record_us:.0f} µs, an item {of.item_bytes:.0f} bytes, "
            f"a version {of.version_ms:.1f} ms)",
            ["an answer obeys", "first ms ↓", "p50 ms ↓", "p99 ms ↓", "after 100 records ms ↓"],
            rows,
            good="near the answer without a catalogue",
        )


def figures(measured: Mapping[int, Measured]) -> dict[str, float]:
    """One flat object."""
    made = {}
    for size, of in measured.items():
        three = of.by_rules["filter, three conditions"]
        made |= {
            f"plain_ms_{size}": of.plain_ms,
            f"no_rules_p50_ms_{size}": of.by_rules["no rules"].p50,
            f"filter_first_ms_{size}": three.first,
            f"filter_p50_ms_{size}": three.p50,
            f"filter_p99_ms_{size}": three.p99,
            f"record_us_{size}": of.record_us,
            f"item_bytes_{size}": of.item_bytes,
        }
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("items", __doc__, argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    sizes, answers = (QUICK, 20) if options.quick else (SIZES, ANSWERS)
    measured = {size: measure(size, answers) for size in sizes}
    show(measured)
    write_figures(figures(measured), began, options.json)


if __name__ == "__main__":
    main()
