"""Figures, durations and times as every view writes them."""

from __future__ import annotations

import time
from collections.abc import Callable

MISSING = "-"
"""Stands for what is not known, or not known yet."""


def score(value: float | None) -> str:
    """A score in four decimals."""
    return MISSING if value is None else f"{value:.4f}"


def seconds(value: float | None) -> str:
    """A duration in seconds."""
    return MISSING if value is None else f"{value:.2f} s"


def duration(value: float) -> str:
    """A stretch of time in the unit that fits, of at least a second."""
    for unit, long in (("hours", 3600.0), ("minutes", 60.0)):
        if value >= 2 * long:
            return f"{value / long:.1f} {unit}"
    return f"{max(1.0, value):.0f} s"


def milliseconds(value: float | None) -> str:
    """A duration in whole milliseconds."""
    return MISSING if value is None else f"{value:.0f} ms"


def local_time(ms: int) -> str:
    """UTC milliseconds as this machine's local time, to the second."""
    return _time("%Y-%m-%d %H:%M:%S", time.localtime, ms)


def utc_time(ms: int) -> str:
    """UTC milliseconds as a time in UTC, to the second."""
    return _time("%Y-%m-%d %H:%M:%SZ", time.gmtime, ms)


def _time(form: str, zone: Callable[[float], time.struct_time], ms: int) -> str:
    try:
        return time.strftime(form, zone(ms / 1000))
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"  # no calendar reaches so far
