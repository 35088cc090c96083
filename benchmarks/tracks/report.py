"""What ``tracks`` comes to: its tables and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness.report import median, show_table
from benchmarks.tracks.measure import CASES, CONNECTIONS, ITEMS, Serving


def show(serving: Serving, training: Mapping[int, float]) -> None:
    """A table of requests and memory, and one of training."""
    rows = [
        (
            CASES[case],
            median(run.load.per_s for run in runs),
            median(run.cpu_ms for run in runs),
            median(run.load.p99_ms for run in runs),
            sum(run.load.failed for run in runs),
            median(run.replica_mb for run in runs),
        )
        for case, runs in serving.items()
    ]
    show_table(
        f"recommendations, {CONNECTIONS} connections, {ITEMS:,} items",
        ("case", "requests/s ↑", "CPU ms ↓", "p99 ms ↓", "failed ↓", "MB per replica ↓"),
        rows,
        good="the first two rows alike: tracks that a request does not meet cost it nothing",
    )
    show_table(
        "processor seconds per window of 600 events",
        ("tracks", "s/window ↓"),
        list(training.items()),
        good="four tracks take at most four times as long as one",
    )


def figures(serving: Serving, training: Mapping[int, float]) -> dict[str, Any]:
    """The flat JSON object."""
    named: dict[str, Any] = {}
    for case, runs in serving.items():
        named |= {
            f"requests_per_s_{case}": round(median(run.load.per_s for run in runs), 1),
            f"cpu_ms_{case}": round(median(run.cpu_ms for run in runs), 3),
            f"p99_ms_{case}": round(median(run.load.p99_ms for run in runs), 2),
            f"replica_mb_{case}": round(median(run.replica_mb for run in runs), 1),
        }
    named["failed"] = sum(run.load.failed for runs in serving.values() for run in runs)
    return named | {f"window_s_{number}": round(took, 4) for number, took in training.items()}
