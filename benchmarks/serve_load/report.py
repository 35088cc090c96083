"""What ``serve_load`` comes to: its tables and its figures."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.harness.report import median, show_table
from benchmarks.serve_load.measure import CONNECTIONS, ITEMS, Run, Runs

COLUMNS = (
    "endpoint",
    "requests/s ↑",
    "of echo ↑",
    "of echo, by CPU ↑",
    "of anchor ↑",
    "of anchor, by CPU ↑",
    "CPU ms ↓",
    "p50 ms ↓",
    "p99 ms ↓",
    "failed ↓",
)


def show(measured: Mapping[str, Runs]) -> None:
    """A table for each title of ``measured``."""
    for title, runs in measured.items():
        rows = [
            (
                name,
                _requests_per_s(each),
                median(ratios(runs, name)),
                median(_cpu_ratios(runs, name)),
                median(ratios(runs, name, "anchor")),
                median(_cpu_ratios(runs, name, "anchor")),
                median(run.cpu_ms for run in each),
                median(run.load.p50_ms for run in each),
                p99_ms(each),
                sum(run.load.failed for run in each),
            )
            for name, each in runs.items()
        ]
        show_table(
            f"{CONNECTIONS} connections, {ITEMS:,} items, {title}",
            COLUMNS,
            rows,
            good="many requests per second, a share of the echo near 1, a low p99, 0 failed",
        )


def figures(runs: Runs, prefix: str) -> dict[str, float]:
    """The figures by the names they have in the JSON object, each after ``prefix``."""
    named: dict[str, float] = {}
    for name, short in (("recommend", prefix), ("score", f"{prefix}score_")):
        ours = runs[name]
        named |= {
            f"{short}requests_per_s": round(_requests_per_s(ours), 1),
            f"{short}ratio_vs_echo": round(median(ratios(runs, name)), 3),
            f"{short}cpu_ratio_vs_echo": round(median(_cpu_ratios(runs, name)), 3),
            f"{short}ratio_vs_anchor": round(median(ratios(runs, name, "anchor")), 3),
            f"{short}cpu_ratio_vs_anchor": round(median(_cpu_ratios(runs, name, "anchor")), 3),
            f"{short}p50_ms": round(median(run.load.p50_ms for run in ours), 2),
            f"{short}p99_ms": round(p99_ms(ours), 2),
            f"{short}cpu_ms": round(median(run.cpu_ms for run in ours), 3),
        }
    for name in ("echo", "anchor"):
        empty = runs[name]
        named |= {
            f"{prefix}{name}_per_s": round(_requests_per_s(empty), 1),
            f"{prefix}{name}_p99_ms": round(p99_ms(empty), 2),
            f"{prefix}{name}_cpu_ms": round(median(run.cpu_ms for run in empty), 3),
        }
    return named | {
        f"{prefix}failed": sum(run.load.failed for each in runs.values() for run in each),
    }


def ratios(runs: Runs, name: str, of: str = "echo") -> list[float]:
    """Requests per second as shares of the echo's, or the anchor's, in the same turn."""
    pairs = zip(runs[name], runs[of], strict=True)
    return [ours.load.per_s / empty.load.per_s for ours, empty in pairs]


def p99_ms(runs: list[Run]) -> float:
    """The median of the runs' 99th percentiles."""
    return median(run.load.p99_ms for run in runs)


def _cpu_ratios(runs: Runs, name: str, of: str = "echo") -> list[float]:
    """What the ratio would be on a machine that does nothing else and is busy with this."""
    pairs = zip(runs[name], runs[of], strict=True)
    return [empty.cpu_ms / ours.cpu_ms for ours, empty in pairs]


def _requests_per_s(runs: list[Run]) -> float:
    return median(run.load.per_s for run in runs)
