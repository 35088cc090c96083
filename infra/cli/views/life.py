"""A version's life: its events appended, window closed, trained, published, live everywhere. Pure.

Put together from what the log keeps: the trainer's window reports, and the last word of every
replica, which says since when it had its last versions.
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
    found: dict[int, dict[str, Any]] = {}
    for one in reports:
        if one.held or one.version in found:
            continue
        live = live_everywhere(one.version, one.published_ms, replicas)
        median = one.appended[len(one.appended) // 2] if one.appended else None
        found[one.version] = {
            "closed_ms": one.closed_ms,
            "published_ms": one.published_ms,
            "live_everywhere_ms": live,
            "age_published_s": None if median is None else (one.published_ms - median) / 1000,
            # A replica may read the pointer before the trainer has noted the time.
            "live_after_s": None if live is None else max(0.0, (live - one.published_ms) / 1000),
        }
    return found


def live_everywhere(
    version: int, published_ms: int, replicas: Sequence[ComponentStatus]
) -> int | None:
    """UTC ms from which every replica answered with ``version`` or a later one.

    Asked are those that had begun when it was published. One that ended before it took it over is
    left out: its place was taken by another. ``None`` where one has not got there yet, where it
    goes back further than replicas say, and where a rollback came between.
    """
    heard = max((one.time for one in replicas), default=0)
    moments = []
    for one in replicas:
        if one.figures.get("joined_ms", published_ms + 1) > published_ms:
            continue
        swaps = [(int(v), int(epoch), int(since)) for v, epoch, since in one.figures["lived"]]
        reached = any(number >= version for number, _, _ in swaps)
        ended = one.state == "stopped" or heard - one.time > SILENT_MS
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
