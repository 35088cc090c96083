"""Which stretch of the log the events of a file stand in, by partition."""

from __future__ import annotations

from collections.abc import Mapping


class LogSpan:
    """``starts`` and ``ends``: the first offset, and the one after the last, by partition.

    Between the two may stand events of others. :meth:`note` is called by the producer's thread.
    """

    def __init__(
        self, starts: Mapping[int, int] | None = None, ends: Mapping[int, int] | None = None
    ) -> None:
        self.starts = dict(starts or {})
        self.ends = dict(ends or {})

    def note(self, partition: int, offset: int) -> None:
        """An event has reached the log there."""
        if offset >= self.ends.get(partition, 0):
            self.ends[partition] = offset + 1
        if offset < self.starts.get(partition, offset + 1):
            self.starts[partition] = offset
