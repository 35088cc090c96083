"""The status that a worker reports about once a second."""

from __future__ import annotations

from collections import Counter
from typing import Any

from everfresh.contracts.report import ComponentStatus
from everfresh.streaming.join.join import JOIN_COUNTS
from everfresh.streaming.state.restore import RestoreFigures
from everfresh.streaming.state.write_batch import WriteBatch

KIND = "worker"
RUNNING = "running"
STOPPED = "stopped"


def restore_status(figures: RestoreFigures, left: int) -> dict[str, Any]:
    """Figures of the restores since this worker started; empty where none was needed.

    ``restoring`` is how many of ``left`` records, or bytes of a snapshot, are still to read; it is
    absent once all is there.
    """
    counts: dict[str, Any] = {
        "from_snapshot": figures.from_snapshot,
        "from_log": figures.from_log,
        "truncated": figures.truncated,
        "snapshots_refused": figures.refused.total(),
    }
    shown = {name: number for name, number in counts.items() if number}
    if figures.bytes_left:
        shown["restoring"] = f"{figures.bytes_left:,} bytes"
    elif left:
        shown["restoring"] = f"{left:,} records"
    return shown


class WorkerFigures:
    """Counts since this worker started; pure, so ``now`` comes in.

    ``applied`` counts accepted events, ``rejected`` those in the dead letters (by reason in
    ``rejected_<reason>``), ``duplicates`` records skipped as already applied, ``duplicate_ids``
    events whose id was accepted before, ``late`` records whose label had been closed before,
    ``misplaced`` records whose key belongs to another partition,
    ``windows`` closed slices, ``lag`` records of its partitions that are not applied yet,
    ``undelivered`` batches in the outbox, ``clock_ahead_ms`` how far its clock is ahead of the
    broker's. ``exposures``, ``outcomes``, ``unmatched``, ``late_feedback``,
    ``not_shown`` and ``surplus_feedback`` count what the join does.
    """

    def __init__(self, component: str, place: str, now_ms: int) -> None:
        """``place`` is the worker's home, as a status names it."""
        self._component = component
        self._place = place
        self._rejected: Counter[str] = Counter()
        self._joins: Counter[str] = Counter()
        self._applied = 0
        self._duplicates = 0
        self._late = 0
        self._windows = 0
        self._misplaced = 0
        self._before = (now_ms, 0)

    def note(self, batch: WriteBatch) -> None:
        """Count what one step wrote."""
        self._applied += batch.accepted
        self._duplicates += batch.duplicates
        self._late += batch.late
        self._windows += batch.closed
        self._misplaced += batch.misplaced
        self._rejected += batch.rejected
        self._joins += batch.joins

    def status(self, now_ms: int, state: str, **more: Any) -> ComponentStatus:
        """The status now; ``events_per_s`` is the rate since the last one."""
        elapsed_ms = max(1, now_ms - self._before[0])
        rate = (self._applied - self._before[1]) * 1000 / elapsed_ms
        self._before = (now_ms, self._applied)
        figures: dict[str, Any] = {
            "applied": self._applied,
            "rejected": self._rejected.total(),
            "duplicates": self._duplicates,
            "late": self._late,
            "duplicate_ids": self._rejected["duplicate_id"],
            "misplaced": self._misplaced,
            "windows": self._windows,
            "events_per_s": round(rate, 1),
            **{name: self._joins[name] for name in JOIN_COUNTS},
            **{f"rejected_{reason}": number for reason, number in sorted(self._rejected.items())},
            **more,
        }
        return ComponentStatus(self._component, KIND, now_ms, state, figures, self._place)
