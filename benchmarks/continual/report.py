"""What ``continual`` comes to: its table and its figures."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.continual.kept_work import Period
from benchmarks.harness.report import show_table

ADER = (50.21, 17.32)
"""Recall@20 and MRR@20 as published for the method; its joint retrain: 50.03 and 17.31."""
COLUMNS = {
    "recall20": "Recall@20 ↑",
    "mrr20": "MRR@20 ↑",
    "recall20_all": "Recall@20, all ↑",
    "mrr20_all": "MRR@20, all ↑",
    "train_s": "train s ↓",
    "tokens": "tokens ↓",
    "cost_vs_retrain": "share of retrain's cost ↓",
    "recall20_over_retrain": "Recall@20 over retrain ↑",
}
"""Figures of a strategy, and the heads of their columns."""

Results = Mapping[str, Mapping[int, Period]]
"""Strategy -> period -> what was measured."""


def show(results: Results) -> None:
    """A line for each strategy: means of its periods."""
    rows = []
    for name, periods in results.items():
        own = _of_strategy(periods, results.get("retrain", {}))
        rows.append((name, len(periods), *(own.get(field, "") for field in COLUMNS)))
    show_table(
        "DIGINETICA by ADER's protocol, means of the periods",
        ("strategy", "periods", *COLUMNS.values()),
        rows,
        good=f"Recall@20 above ADER's {ADER[0]} and MRR@20 above its {ADER[1]}, at little cost",
    )


def figures(results: Results) -> dict[str, float]:
    """Every figure, with its strategy's name behind."""
    retrain = results.get("retrain", {})
    return {
        f"{field}_{name}": value
        for name, periods in results.items()
        for field, value in _of_strategy(periods, retrain).items()
    }


def _of_strategy(periods: Mapping[int, Period], retrain: Mapping[int, Period]) -> dict[str, float]:
    qualities = Period.__struct_fields__[2:6]
    number, measured = max(1, len(periods)), periods.values()
    means = {
        quality: round(sum(getattr(period, quality) for period in measured) / number, 2)
        for quality in qualities
    }
    return {
        **means,
        "train_s": round(sum(period.train_s for period in measured), 1),
        "tokens": sum(period.tokens for period in measured),
        **_beside_retrain(periods, retrain),
    }


def _beside_retrain(mine: Mapping[int, Period], retrain: Mapping[int, Period]) -> dict[str, float]:
    """Share of a retrain's cost and gain in recall over it, on the periods measured of both.

    The first period is left out: nothing is learnt before it, and all begin alike.
    """
    both = [at for at in mine if at in retrain and at > 0]
    if not both:
        return {}
    cost = sum(mine[at].train_s for at in both) / sum(retrain[at].train_s for at in both)
    gain = sum(mine[at].recall20 - retrain[at].recall20 for at in both) / len(both)
    return {"cost_vs_retrain": round(cost, 4), "recall20_over_retrain": round(gain, 2)}
