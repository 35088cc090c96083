"""What one step of a partition changes: written all at once or not at all."""

from __future__ import annotations

from collections import Counter

from everfresh.contracts.event import Event
from everfresh.streaming.state.key_layout import OutboxRow


class Changes:
    """One write batch in the making. Deletes come before puts.

    ``rows`` go to the outbox as one parcel. ``named`` are the accepted events that name a request,
    with their offsets. ``joins`` counts what became of exposures and feedback: see
    :class:`everfresh.streaming.join.join.Join`.
    """

    def __init__(self) -> None:
        self.puts: dict[bytes, bytes] = {}
        self.deletes: list[bytes] = []
        self.parcels: list[int] = []
        self.accepted = 0
        self.duplicates = 0
        self.late = 0
        self.closed = 0
        self.rejected: Counter[str] = Counter()
        self.joins: Counter[str] = Counter()
        self.rows: list[OutboxRow] = []
        self.named: list[tuple[int, Event]] = []

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.puts or self.deletes)

    def drop(self, key: bytes) -> None:
        """Delete ``key``, whether it is stored already or only about to be."""
        self.puts.pop(key, None)
        self.deletes.append(key)
