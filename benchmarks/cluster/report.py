"""What was seen, step by step, and the figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cluster.load import Asked
from benchmarks.cluster.measure import Outcome, Step
from benchmarks.harness.report import show_table


def show(outcome: Outcome) -> None:
    """A row for each step."""
    show_table(
        f"{len(outcome.asked):,} requests, by what went on",
        ("step", "s", "requests", "failed ↓", "popular ↓", "p99 ms ↓", "slowest ms ↓"),
        [_row(outcome, step) for step in outcome.steps],
        good="0 failed requests, 0 wrong states",
    )
    statuses = sorted({one.status for one in outcome.asked if _failed(one)})
    print(f"statuses of what failed: {statuses or 'none'}; wrong states: {outcome.states}")


def _row(outcome: Outcome, step: Step) -> tuple[str, ...]:
    asked = _within(outcome, step)
    took = [one.seconds * 1000 for one in asked]
    return (
        step.name,
        f"{step.ended - step.began:.1f}",
        str(len(asked)),
        str(sum(_failed(one) for one in asked)),
        str(sum(one.source == "popular" for one in asked)),
        f"{_percentile(took, 99):.0f}" if took else "",
        f"{max(took):.0f}" if took else "",
    )


def figures(outcome: Outcome) -> dict[str, Any]:
    """One flat object."""
    took = [one.seconds for one in outcome.asked]
    seconds = {step.name: step.ended - step.began for step in outcome.steps}
    return {
        "requests": len(took),
        "failed": sum(_failed(one) for one in outcome.asked),
        "slowest_s": max(took),
        "p50_ms": _percentile(took, 50) * 1000,
        "p99_ms": _percentile(took, 99) * 1000,
        "popular": sum(one.source == "popular" for one in outcome.asked),
        "states_wrong": sum(outcome.states.values()),
        "states_compared": outcome.users * len(outcome.states),
        "events": outcome.events,
        "versions": len({one.version for one in outcome.asked if not _failed(one)}),
        "join_s": seconds["second machine: follower, replica"],
        "replace_s": seconds["third machine in its place"],
        "visible_p50_ms": _percentile(outcome.visible_s, 50) * 1000,
        "visible_p99_ms": _percentile(outcome.visible_s, 99) * 1000,
        "stale_p99_ms": _percentile(outcome.ages_ms, 99),
        "stale_max_ms": max(outcome.ages_ms),
    }


def _failed(one: Asked) -> bool:
    return one.status != 200


def _within(outcome: Outcome, step: Step) -> list[Asked]:
    return [one for one in outcome.asked if step.began <= one.at < step.ended]


def _percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, share))
