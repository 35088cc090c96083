"""What ``train_speed`` comes to: its tables and its figures."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.harness.report import median, show_table
from benchmarks.train_speed.contenders import OURS, PADDED, PADDED_FULL

Speeds = Mapping[str, list[float]]
"""Contender -> tokens per second, one figure per repeat."""


def show(where: str, speeds: Speeds) -> None:
    """One table."""
    rows = [
        (name, f"{median(of_contender):,.0f}", f"{_ratio(speeds, name):.2f}")
        for name, of_contender in speeds.items()
    ]
    show_table(
        f"Training, lengths of {where}",
        ("contender", "tokens/s ↑", "everfresh is faster by, times ↑"),
        rows,
        good="many tokens per second, everfresh at least 2 times faster than plain",
    )


def figures(speeds: Mapping[str, Speeds]) -> dict[str, float]:
    """Those of the first distribution of lengths by their plain names, others behind its name."""
    named: dict[str, float] = {}
    for where, measured in speeds.items():
        prefix = f"{where.lower()}_" if named else ""
        named |= {
            f"{prefix}tokens_per_s": round(median(measured[OURS]), 1),
            f"{prefix}ratio_vs_padded": round(_ratio(measured, PADDED), 3),
            f"{prefix}ratio_vs_padded_to_max": round(_ratio(measured, PADDED_FULL), 3),
        }
    return named


def _ratio(speeds: Speeds, name: str) -> float:
    """How many times faster ours is than ``name``."""
    return median(ours / theirs for ours, theirs in zip(speeds[OURS], speeds[name], strict=True))
