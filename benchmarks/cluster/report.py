"""What was seen, step by step, and the figures."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import numpy as np

from benchmarks.cluster.changes import ADDED, INTERRUPTS, REPLACED
from benchmarks.cluster.measure import Outcome
from benchmarks.harness.report import show_table
from benchmarks.harness.steps import Step

_LATE = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
"""An event that a request wanted was not there in time."""


def show(outcome: Outcome) -> None:
    """A row for each step."""
    show_table(
        f"{len(outcome.asked):,} requests, by what went on",
        ("step", "s", "requests", "failed ↓", "unknown ↓", "p50 ms ↓", "p99 ms ↓", "slowest ms ↓"),
        [_row(outcome, step) for step in outcome.steps],
        good="0 failed requests, 0 answers as to an unknown user, 0 wrong states",
    )
    statuses = sorted({one.status for one in outcome.asked if one.failed})
    print(f"statuses of what failed: {statuses or 'none'}; wrong states: {outcome.states}")


def _row(outcome: Outcome, step: Step) -> tuple[str, ...]:
    asked = [one for one in outcome.asked if step.holds(one.at)]
    took = [one.seconds * 1000 for one in asked]
    return (
        step.name,
        f"{step.seconds:.1f}",
        str(len(asked)),
        str(sum(one.failed for one in asked)),
        str(sum(one.source == "popular" for one in asked)),
        f"{_percentile(took, 50):.0f}" if took else "",
        f"{_percentile(took, 99):.0f}" if took else "",
        f"{max(took):.0f}" if took else "",
    )


def figures(outcome: Outcome) -> dict[str, Any]:
    """One flat object."""
    took = [one.seconds for one in outcome.asked]
    seconds = {step.name: step.seconds for step in outcome.steps}
    visible_s = [one.seconds for one in outcome.seen if one.status == HTTPStatus.OK]
    return {
        "requests": len(took),
        "failed": sum(one.failed for one in outcome.asked),
        "slowest_s": max(took),
        "p50_ms": _percentile(took, 50) * 1000,
        "p99_ms": _percentile(took, 99) * 1000,
        "unknown": sum(one.source == "popular" for one in outcome.asked),
        "states_wrong": sum(outcome.states.values()),
        "states_compared": outcome.users * len(outcome.states),
        "events": outcome.events,
        "live_versions": len({one.version for one in outcome.asked if not one.failed}),
        "join_s": seconds[ADDED],
        "replace_s": seconds[REPLACED],
        "visible": len(visible_s),
        "visible_late": _late(outcome),
        "visible_p50_ms": _percentile(visible_s, 50) * 1000,
        "visible_p99_ms": _percentile(visible_s, 99) * 1000,
        "stale_p99_ms": _percentile(outcome.ages_ms, 99),
        "stale_max_ms": max(outcome.ages_ms),
        **{f"{_slug(name)}_s": took_s for name, took_s in seconds.items()},
    }


def _slug(name: str) -> str:
    return name.partition(":")[0].replace(" ", "_")


def _late(outcome: Outcome) -> int:
    """How many events were not there in time on the second machine, while it was to answer."""
    spared = [step for step in outcome.steps if step.name in INTERRUPTS]
    return sum(
        one.status in _LATE and not any(step.holds(one.at) for step in spared)
        for one in outcome.seen
    )


def _percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, share))
