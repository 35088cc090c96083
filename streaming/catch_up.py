"""Tells until when a partition's state holds all that the log held. Pure: no I/O and no clock."""

from __future__ import annotations


class CatchUp:
    """One partition's. Under load the log's end is always ahead of the state by a few records, so
    an end counts as reached once the state is there, however much came meanwhile."""

    def __init__(self) -> None:
        self.fresh_ms: int | None = None
        """All that the log held at this moment has been applied; ``None`` before the first."""
        self._ends: list[tuple[int, int]] = []

    def note_end(self, end: int, asked_ms: int) -> None:
        """The log was asked at ``asked_ms``, or later, where it ends, and said ``end``."""
        # Two are enough: the oldest that is open, which a state that falls behind comes to, and the
        # newest, which an idle one has reached.
        self._ends = [*self._ends[:1], (end, asked_ms)]

    def note_reached(self, offset: int) -> int | None:
        """Everything before ``offset`` is in the state; the moment, where it has moved.

        It moves back where the clock was set back: else the state would seem fresh until that has
        caught up, whatever becomes of it."""
        reached = [asked_ms for end, asked_ms in self._ends if end <= offset]
        if not reached or reached[-1] == self.fresh_ms:
            return None
        self._ends = self._ends[len(reached) :]
        self.fresh_ms = reached[-1]
        return self.fresh_ms
