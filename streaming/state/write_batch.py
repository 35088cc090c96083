"""What one step of a partition writes: all at once or not at all."""

from __future__ import annotations

from collections import Counter

from everfresh.contracts.event import Event


class WriteBatch:
    """One write batch in the making, and what its step has counted. Deletes come before puts.

    ``outbox_batches`` are the numbers of the outbox batches that it completes. ``feedback`` are the
    accepted events that name a request, with their offsets: the fold finds them, the join stores
    them. ``rejected`` counts dead letters by reason; ``misplaced`` counts records whose key belongs
    to another partition, be they dead letters or forwarded; ``joins`` counts what became of
    exposures and feedback, see :class:`everfresh.streaming.join.join.Join`.
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

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.puts or self.deletes)

    def delete(self, key: bytes) -> None:
        """Delete ``key``, whether it is stored already or only about to be."""
        self.puts.pop(key, None)
        self.deletes.append(key)
