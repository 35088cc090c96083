"""What ``catalogue`` comes to: its table and its figures."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.catalogue.measure import Cost
from benchmarks.harness.report import show_table

_REACH = 10_000, 1_000_000


def show(costs: Mapping[int, Cost]) -> None:
    """A row for each size."""
    rows = [
        (
            f"{items:,}",
            cost.all_s,
            cost.rank_s,
            cost.train_s,
            cost.step_ms,
            f"{cost.touched:,.0f}",
            cost.index_s,
            f"{cost.version_mb:.3g}",
            f"{cost.rss_mb:,.0f}",
        )
        for items, cost in costs.items()
    ]
    show_table(
        "A window of 900 events, by items in the catalogue",
        (
            "items",
            "all s ↓",
            "ranking s ↓",
            "training s ↓",
            "step ms ↓",
            "rows touched ↓",
            "index s ↓",
            "version MB ↓",
            "memory MB ↓",
        ),
        rows,
        good="a window of a million items costs at most 1.5 times what one of 10,000 costs, and "
        "its version has at most 20 MB",
    )


def figures(costs: Mapping[int, Cost]) -> dict[str, float]:
    """By size; and the ratio, where both sizes were measured."""
    named: dict[str, float] = {}
    for items, cost in costs.items():
        named[f"all_s_{items}"] = round(cost.all_s, 3)
        named[f"rank_s_{items}"] = round(cost.rank_s, 3)
        named[f"train_s_{items}"] = round(cost.train_s, 3)
        named[f"step_ms_{items}"] = round(cost.step_ms, 2)
        named[f"touched_rows_{items}"] = cost.touched
        named[f"index_s_{items}"] = round(cost.index_s, 3)
        named[f"version_mb_{items}"] = round(cost.version_mb, 2)
        named[f"rss_mb_{items}"] = round(cost.rss_mb, 1)
    small, large = (costs.get(items) for items in _REACH)
    if small and large:
        named["ratio_1m_vs_10k"] = round(large.all_s / small.all_s, 3)
        named["train_ratio_1m_vs_10k"] = round(large.train_s / small.train_s, 3)
    return named
