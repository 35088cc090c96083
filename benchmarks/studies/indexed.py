"""What does an index of a version cost and find, as the catalogue grows?

    python -m benchmarks.studies.indexed [--quick] [--json FILE]

Good: few milliseconds for a request, few seconds for a version, a recall@10 near 1.

Rows and users are a mixture of clusters, as in ``benchmarks.topk``; counts of what is hot follow
Zipf's law. Requests name what the user has seen, and half of them have a filter that half of the
items fit. Each is answered exactly, and by looking at each of ``LOOKS`` numbers of rows. One
thread, processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import show_table, write_figures
from benchmarks.synthetic.vectors import clustered
from benchmarks.synthetic.versions import untrained
from everfresh.contracts.items.record import Item, ItemChange
from everfresh.contracts.items.rules import Filter, Rules
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ItemSettings, ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.index.inverted_lists import LOOKS
from everfresh.model.inference.indexing import renew_index
from everfresh.model.inference.retrieval import Query, best_items
from everfresh.model.recommender import Recommender
from everfresh.model.trends.contexts import Sightings
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.items.ruled import Wanted, ruled_items

SIZES = (100_000, 1_000_000)
CHANGED = 50_000
"""Rows that a version brings."""
_HISTORY, _K = 8, 10

Answer = Callable[[Query], list[Any]]


def measure(items: int, users: int) -> dict[str, float]:
    """Figures by name: seconds of a version, milliseconds and recall of requests."""
    rng = np.random.default_rng(1)
    recommender = untrained(items, ModelSettings())
    vectors, asking = clustered(items + 1, users)
    recommender.network.items.data = torch.from_numpy(vectors)
    sighted = rng.choice(items, 20_000, p=_zipf(items)) + 1
    before, none = np.append(0, sighted[:-1]), np.zeros_like(sighted)
    recommender.learn_trends(Sightings.of(sighted, before, none, none))
    examples = [_example(sighted[at : at + _HISTORY].tolist()) for at in range(0, 2_000, _HISTORY)]
    recommender.catalogue()
    recommender.trend_table()
    begins_at, found = items // 2, dict[str, float]()
    found["first_s"] = _cpu_s(lambda: renew_index(recommender, None, examples, begins_at, 0.98, 1))
    touched = np.sort(rng.choice(items, min(CHANGED, items // 2), replace=False)) + 1
    found["renew_s"] = _cpu_s(
        lambda: renew_index(recommender, touched, examples, begins_at, 0.98, 2)
    )
    queries = [Query(user, rng.integers(1, items, _HISTORY)) for user in asking]
    shop = Catalogue(ItemSettings(most=2 * items))
    shop.apply([_record(item) for item in range(1, items + 1)], items)
    shop.prepare(recommender)
    half = Rules(filter=Filter(attribute="half", equals="a"))

    def plain(query: Query) -> list[Any]:
        return best_items(recommender, query, _K, query.rows)[0]

    def filtered(query: Query) -> list[Any]:
        wanted = Wanted(_K, query.rows, None, half)
        return ruled_items(shop, recommender, query, wanted, 1).items

    for name, answer in (("plain", plain), ("filter", filtered)):
        exact = _asked(recommender, 0, answer, queries, found, f"{name}_exact")
        for look in LOOKS:
            answers = _asked(recommender, look, answer, queries, found, f"{name}_{look}")
            recall = [len({*one} & {*all_}) / _K for one, all_ in zip(answers, exact, strict=True)]
            found[f"{name}_{look}_recall"] = float(np.mean(recall))
    return found


def _asked(
    recommender: Recommender,
    look: int,
    answer: Answer,
    queries: Sequence[Query],
    found: dict[str, float],
    name: str,
) -> list[list[Any]]:
    recommender.index.judge(recommender.index.recalls.copy(), look)
    answer(queries[0])
    answers, took = [], []
    for query in queries:
        began = time.process_time()
        answers.append(answer(query))
        took.append(1000 * (time.process_time() - began))
    found[f"{name}_p50_ms"], found[f"{name}_p99_ms"] = np.percentile(took, (50, 99)).tolist()
    return answers


def _cpu_s(do: Callable[[], None]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


def _zipf(items: int) -> Any:
    weights = 1.0 / np.arange(1, items + 1)
    return weights / weights.sum()


def _example(items: list[int]) -> DecodedExample:
    events = [Interaction(item, "view", at) for at, item in enumerate(items)]
    return DecodedExample(0, events[:-1], events[-1:], [0], [0])


def _record(item: int) -> ItemChange:
    return ItemChange(item, Item(id=item, attributes={"half": "ab"[item % 2]}))


def show(items: int, found: dict[str, float]) -> None:
    """What a version costs, and a line for each way to answer."""
    ways = [
        (name, look, *(found.get(f"{name}_{look}_{figure}", 1.0) for figure in _FIGURES))
        for name in ("plain", "filter")
        for look in ("exact", *LOOKS)
    ]
    show_table(
        f"{items:,} items: the first index {found['first_s']:.1f} CPU s, a version of "
        f"{min(CHANGED, items // 2):,} changed rows {found['renew_s']:.2f}",
        ("request", "rows looked at", "p50 ms ↓", "p99 ms ↓", "recall@10 ↑"),
        ways,
        good="few milliseconds at a recall near 1",
    )


_FIGURES = ("p50_ms", "p99_ms", "recall")


def figures(items: int, found: dict[str, float]) -> dict[str, float]:
    """Each value by its name and the number of items."""
    return {f"{name}_{items}": round(value, 4) for name, value in found.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("studies.indexed", __doc__, argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    named: dict[str, float] = {}
    for items in SIZES[:1] if options.quick else SIZES:
        found = measure(items, 50 if options.quick else 200)
        show(items, found)
        named |= figures(items, found)
    write_figures(named, began, options.json)


if __name__ == "__main__":
    main()
