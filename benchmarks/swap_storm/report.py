"""What a swap storm comes to: its table and its figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.harness.report import median, show_table
from benchmarks.swap_storm.client import Answer

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
    """All answers; ``mixed`` of them are not what their version gives, ``versions`` answered."""

    segments: list[Segment]
    answers: list[Answer]
    mixed: int
    versions: int


def show(results: Mapping[str, Any]) -> None:
    """Every figure on a line of its own."""
    show_table(
        "Swaps under load",
        ("figure", "value"),
        [(name, str(value)) for name, value in results.items()],
        good="0 failed, 0 mixed, a p99_ratio of 1, low latencies, pauses near 0 ms",
    )


def figures(outcome: Outcome, pace: float) -> dict[str, Any]:
    """The figures. Latencies of segments with a fault count for the zeros alone."""
    took = [
        (_took(outcome.answers, calm), _took(outcome.answers, busy))
        for calm, busy in _pairs(outcome.segments)
        if not busy.fault
    ]
    # On a starved machine no request may be due in a segment: there is nothing to compare then.
    pairs = [
        (float(np.percentile(calm, 99)), float(np.percentile(busy, 99)))
        for calm, busy in took
        if calm and busy
    ]
    near, quiet = _slowest(outcome, pace)
    return {
        "swaps": max(answer.version for answer in outcome.answers) - 1,
        "versions_in_answers": outcome.versions,
        "requests": len(outcome.answers),
        "requests_on_kept_connections": sum(answer.kept for answer in outcome.answers),
        "failed": sum(bool(answer.failure) for answer in outcome.answers),
        "mixed": outcome.mixed,
        "p99_busy_ms": round(median(busy for _, busy in pairs), 2),
        "p99_calm_ms": round(median(calm for calm, _ in pairs), 2),
        "p99_ratio": round(median(busy / calm for calm, busy in pairs), 3),
        "pause_p50_ms": _apart(near, quiet, 50),
        "pause_p99_ms": _apart(near, quiet, 99),
    }


def _pairs(segments: Sequence[Segment]) -> Iterator[tuple[Segment, Segment]]:
    return zip(segments[::2], segments[1::2], strict=True)


def _took(answers: Sequence[Answer], segment: Segment) -> list[float]:
    """The latencies in ms of requests due in a segment, but for its edges."""
    first, last = segment.begin + _EDGE_S, segment.end - _EDGE_S
    return [1000 * answer.seconds for answer in answers if first <= answer.due <= last]


def _slowest(outcome: Outcome, pace: float) -> tuple[Floats, Floats]:
    """The slowest request near each swap, and near as frequent moments without one, in ms."""
    ordered = sorted(outcome.answers, key=lambda answer: answer.due)
    due = np.array([answer.due for answer in ordered])
    took = np.array([1000 * answer.seconds for answer in ordered])
    newest = np.maximum.accumulate([answer.version for answer in ordered])
    swaps = due[np.flatnonzero(np.diff(newest)) + 1]

    def slowest(moments: Sequence[float]) -> Floats:
        edges = [np.searchsorted(due, [at - _NEAR_S, at + _NEAR_S]) for at in moments]
        return np.array([took[begin:end].max(initial=0.0) for begin, end in edges])

    segments = [segment for segment in outcome.segments if not segment.fault]
    busy = [segment for segment in segments if segment.busy]
    near = [at for at in swaps if any(each.begin <= at <= each.end for each in busy)]
    quiet = [
        at
        for calm in segments
        if not calm.busy
        for at in np.arange(calm.begin + _EDGE_S, calm.end - _EDGE_S, 1 / pace)
    ]
    return slowest(near), slowest(quiet)


def _apart(near: Floats, quiet: Floats, quantile: float) -> float | None:
    """``None`` where no version was first answered in a busy segment without a fault."""
    if not near.size:
        return None
    return round(max(0.0, float(np.percentile(near, quantile) - np.percentile(quiet, quantile))), 2)
