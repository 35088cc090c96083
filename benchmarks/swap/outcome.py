"""What a storm showed: its figures and its plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks._harness import median
from benchmarks.swap.asker import Asked

_EDGE_S = 0.5
_NEAR_S = 0.1
Floats = npt.NDArray[np.float64]


class Segment(msgspec.Struct, frozen=True):
    """A stretch of time, monotonic seconds. ``fault`` names what was killed in it."""

    busy: bool
    begin: float
    end: float
    fault: str


class Outcome(msgspec.Struct, frozen=True):
    """All that was asked; ``mixed`` answers are not their version's, ``versions`` answered."""

    segments: list[Segment]
    answers: list[Asked]
    mixed: int
    versions: int


def summarise(found: Outcome, pace: float) -> dict[str, Any]:
    """The figures. Latencies of segments with a fault count for the zeros alone."""
    pairs = [
        (_p99(found.answers, calm), _p99(found.answers, busy))
        for calm, busy in _pairs(found.segments)
        if not busy.fault
    ]
    near, quiet = _slowest(found, pace)
    return {
        "swaps": max(one.version for one in found.answers) - 1,
        "versions_in_answers": found.versions,
        "requests": len(found.answers),
        "failed": sum(bool(one.failure) for one in found.answers),
        "mixed": found.mixed,
        "p99_busy_ms": round(median(busy for _, busy in pairs), 2),
        "p99_calm_ms": round(median(calm for calm, _ in pairs), 2),
        "p99_ratio": round(median(busy / calm for calm, busy in pairs), 3),
        "pause_p50_ms": round(_apart(near, quiet, 50), 2),
        "pause_p99_ms": round(_apart(near, quiet, 99), 2),
    }


def draw(found: Outcome, target: Path) -> None:
    """Latencies by the second, over the segments."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of backend

    start = found.segments[0].begin
    seconds = np.array([one.due - start for one in found.answers]).astype(int)
    took = np.array([1000 * one.seconds for one in found.answers])
    shown = [at for at in np.unique(seconds) if 0 <= at <= found.segments[-1].end - start]
    figure, axes = plt.subplots(figsize=(9, 3.6))
    for quantile, label in ((50, "median"), (99, "99th percentile"), (100, "slowest")):
        values = [np.percentile(took[seconds == at], quantile) for at in shown]
        axes.plot(shown, values, label=label, linewidth=0.9)
    for segment in found.segments:
        if segment.busy:
            span = (segment.begin - start, segment.end - start)
            axes.axvspan(*span, color="tab:red" if segment.fault else "tab:blue", alpha=0.1)
        if segment.fault:
            axes.text(segment.begin - start, took.max(), f" kill -9: {segment.fault}", fontsize=8)
    axes.set(yscale="log", xlabel="seconds (shaded: versions go live)", ylabel="latency, ms")
    axes.legend(loc="upper right", fontsize=8)
    figure.tight_layout()
    figure.savefig(target, dpi=110)


def _pairs(segments: Sequence[Segment]) -> Iterator[tuple[Segment, Segment]]:
    return zip(segments[::2], segments[1::2], strict=True)


def _p99(answers: Sequence[Asked], segment: Segment) -> float:
    """Of the latencies in ms of requests due in a segment, but for its edges."""
    first, last = segment.begin + _EDGE_S, segment.end - _EDGE_S
    return float(np.percentile([1000 * o.seconds for o in answers if first <= o.due <= last], 99))


def _slowest(found: Outcome, pace: float) -> tuple[Floats, Floats]:
    """The slowest request near each swap, and near as frequent moments without one, in ms."""
    ordered = sorted(found.answers, key=lambda one: one.due)
    due = np.array([one.due for one in ordered])
    took = np.array([1000 * one.seconds for one in ordered])
    newest = np.maximum.accumulate([one.version for one in ordered])
    swaps = due[np.flatnonzero(np.diff(newest)) + 1]

    def slowest(moments: Sequence[float]) -> Floats:
        edges = [np.searchsorted(due, [at - _NEAR_S, at + _NEAR_S]) for at in moments]
        return np.array([took[begin:end].max(initial=0.0) for begin, end in edges])

    segments = [one for one in found.segments if not one.fault]
    near = [at for at in swaps if any(one.begin <= at <= one.end for one in segments if one.busy)]
    quiet = [
        at
        for one in segments
        if not one.busy
        for at in np.arange(one.begin + _EDGE_S, one.end - _EDGE_S, 1 / pace)
    ]
    return slowest(near), slowest(quiet)


def _apart(near: Floats, quiet: Floats, quantile: float) -> float:
    return max(0.0, float(np.percentile(near, quantile) - np.percentile(quiet, quantile)))
