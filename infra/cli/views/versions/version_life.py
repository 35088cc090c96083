"""A version's life: its events appended, window closed, trained, published, live everywhere. Pure.

Put together from what the log keeps: the trainer's window reports, and the last status of every
replica, which says since when it has had its last versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.infra.cli.views.freshness import SILENT_MS

Swap = tuple[int, int, int]
"""Version, epoch, and UTC ms since when a replica had it."""

UNKNOWN: dict[str, Any] = dict.fromkeys(
    ("closed_ms", "published_ms", "live_everywhere_ms", "age_published_s", "live_after_s")
)


def lives(
    reports: Iterable[WindowReport], replicas: Sequence[ComponentStatus]
) -> dict[int, dict[str, Any]]:
    """Version -> its life, in UTC ms; ``age_published_s`` is of its window's median event,
    ``live_after_s`` from published to live on every replica. ``None`` for what is not known.
    """
    by_version: dict[int, dict[str, Any]] = {}
    for report in reports:
        if report.held or report.version in by_version:
            continue
        published, times = report.published_ms, report.appended
        live = live_everywhere(report.version, published, replicas)
        median = times[len(times) // 2] if times else None
        by_version[report.version] = {
            "closed_ms": report.closed_ms,
            "published_ms": published,
            "live_everywhere_ms": live,
            "age_published_s": None if median is None else (published - median) / 1000,
            # A replica may read the pointer before the trainer has noted the time.
            "live_after_s": None if live is None else max(0.0, (live - published) / 1000),
        }
    return by_version


def live_everywhere(
    version: int, published_ms: int, replicas: Sequence[ComponentStatus]
) -> int | None:
    """UTC ms from which every replica answered with ``version`` or a later one.

    Those count that had begun when it was published. One that ended before it swapped is left out:
    its place was taken by another. ``None`` where a replica has not swapped yet, where the version
    is older than the swaps that replicas remember, and where a rollback came between.
    """
    newest = max((status.time for status in replicas), default=0)
    moments = []
    for status in replicas:
        joined = status.figures.get("joined_ms")
        if joined is None or joined > published_ms:
            continue
        swaps = [(v, epoch, since) for v, epoch, since in status.figures.get("lived", [])]
        reached = any(number >= version for number, _, _ in swaps)
        ended = status.state == "stopped" or newest - status.time > SILENT_MS
        if ended and not reached:
            continue
        moment = _since(swaps, version)
        if moment is None:
            return None
        moments.append(moment)
    return max(moments, default=None)


def _since(swaps: Sequence[Swap], version: int) -> int | None:
    """When the first swap to ``version`` was, or, where that was skipped, to the next later one."""
    for number, _, since in swaps:
        if number == version:
            return since
    for (before, epoch, _), (number, later, since) in pairwise(swaps):
        if before < version < number:
            return since if epoch == later else None
    return None
