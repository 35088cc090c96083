"""What one step of a partition writes: all at once or not at all."""

from __future__ import annotations

from collections import Counter

from everfresh.contracts.event import Event
from everfresh.contracts.window import Place, SliceClosed


class WriteBatch:
    """One write batch in the making, and what its step has counted. Deletes come before puts.

    ``outbox_batches`` are the numbers of the outbox batches that it completes. ``feedback`` are the
    accepted events that name a request, with their offsets: the fold finds them, the join stores
    them. ``rejected`` counts dead letters by reason; ``misplaced`` counts records whose key belongs
    to another partition, be they dead letters or forwarded; ``joins`` counts what became of
    exposures and feedback, see :class:`everfresh.streaming.join.join.Join`.

    What became of which record, for traces: ``folded`` are the ranges of offsets that came into
    slices, in order, each with its slice's place; ``ended`` are the slices that it closed (their
    parts are still to be made); ``turned_away`` is the reason by the offset of each reject.
    """

    def __init__(self) -> None:
        self.puts: dict[bytes, bytes] = {}
        self.deletes: list[bytes] = []
        self.outbox_batches: list[int] = []
        self.accepted = 0
        self.duplicates = 0
        self.late = 0
        self.closed = 0
        self.misplaced = 0
        self.rejected: Counter[str] = Counter()
        self.joins: Counter[str] = Counter()
        self.feedback: list[tuple[int, Event]] = []
        self.folded: list[tuple[Place, int, int]] = []
        self.ended: list[SliceClosed] = []
        self.turned_away: dict[int, str] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.puts or self.deletes)

    def delete(self, key: bytes) -> None:
        """Delete ``key``, whether it is stored already or only about to be."""
        self.puts.pop(key, None)
        self.deletes.append(key)
