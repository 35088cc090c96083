"""What was seen, step by step, and the figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness.report import show_table
from benchmarks.harness.steps import Step
from benchmarks.rolling.measure import Outcome


def show(outcome: Outcome) -> None:
    """A row for each step."""
    show_table(
        f"{len(outcome.asked):,} requests, by what went on",
        ("step", "s", "requests", "failed ↓", "p99 ms ↓", "slowest ms ↓"),
        [_row(outcome, step) for step in outcome.steps],
        good="0 failed requests, 0 wrong states, 0 faults of the windows",
    )
    statuses = sorted({one.status for one in outcome.asked if one.failed})
    print(f"statuses of what failed: {statuses or 'none'}; faults: {outcome.faults or 'none'}")


def figures(outcome: Outcome) -> dict[str, Any]:
    """One flat object."""
    took = [one.seconds * 1000 for one in outcome.asked]
    return {
        "requests": len(took),
        "failed": sum(one.failed for one in outcome.asked),
        "p50_ms": float(np.percentile(took, 50)),
        "p99_ms": float(np.percentile(took, 99)),
        "slowest_ms": max(took),
        "states_wrong": outcome.states_wrong,
        "states_compared": 2 * outcome.users,
        "window_faults": len(outcome.faults),
        "slices": outcome.slices,
        "events": outcome.events,
        "live_versions": len({one.version for one in outcome.asked if not one.failed}),
    }


def _row(outcome: Outcome, step: Step) -> tuple[str, ...]:
    asked = [one for one in outcome.asked if step.holds(one.at)]
    took = [one.seconds * 1000 for one in asked]
    return (
        step.name,
        f"{step.seconds:.1f}",
        str(len(asked)),
        str(sum(one.failed for one in asked)),
        f"{np.percentile(took, 99):.0f}" if took else "",
        f"{max(took):.0f}" if took else "",
    )
