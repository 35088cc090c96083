"""What a crash storm comes to: its tables and its figures."""

from __future__ import annotations

from typing import Any

from benchmarks.crash_storm.findings import Findings
from benchmarks.harness.report import show_table


def show(findings: Findings) -> None:
    """What struck, what was counted, and the last words of workers that ended by themselves."""
    faults = sorted(findings.faults.items())
    show_table(
        "What struck",
        ("fault", "times"),
        faults,
        good="every kind of fault, so that zeros below mean something",
    )
    show_table(
        "What was counted",
        ("figure", "value"),
        _counts(findings).items(),
        good="zero lost, duplicated, wrong, differing, late and stuck",
    )
    if findings.exits:
        show_table(
            "Workers that ended by themselves",
            ("last words", "times"),
            findings.exits.items(),
            good="few, each with a reason that a fault explains",
        )


def figures(findings: Findings) -> dict[str, Any]:
    """Every count by its name, and how often each fault struck."""
    return {**_counts(findings), **{f"{name}s": times for name, times in findings.faults.items()}}


def _counts(findings: Findings) -> dict[str, int]:
    values = {name: getattr(findings, name) for name in findings.__struct_fields__}
    return {name: value for name, value in values.items() if isinstance(value, int)}
