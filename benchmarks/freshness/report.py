"""What ``freshness`` comes to: its table and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.freshness.measure import LABELS, STAGES, Samples
from benchmarks.harness.report import show_table
from everfresh.infra.cli.views.freshness import weighted_quantile

SHARES = (0.5, 0.99)


def show(samples: Samples, counts: Mapping[str, Any], rate: float) -> None:
    """Median and p99 of each stage, and of what an answer's history takes."""
    rows = [
        (LABELS[stage], *(quantile(samples[stage], share) for share in SHARES)) for stage in STAGES
    ]
    show_table(
        f"Freshness at {rate:,.0f} events/s",
        ("stage", "p50 s ↓", "p99 s ↓"),
        rows,
        good="few seconds",
    )
    print(
        f"an event is part of the history that answers are made from after "
        f"{counts['visible_p50_ms']:.0f} ms (p50), {counts['visible_p99_ms']:.0f} ms (p99)"
    )


def figures(samples: Samples) -> dict[str, float]:
    """Quantiles by stage; those of the whole way have no prefix."""
    named: dict[str, float] = {}
    for stage in STAGES:
        prefix = "" if stage == "whole" else f"{stage}_"
        for share in SHARES:
            named[f"{prefix}p{share * 100:.0f}_s"] = round(quantile(samples[stage], share), 3)
    return named


def quantile(samples: list[tuple[float, float]], share: float) -> float:
    """The weighted quantile; 0 where there are no samples."""
    return weighted_quantile(samples, share) or 0.0
