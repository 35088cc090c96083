"""Where the events of a replay stand in the log, and which of them the worker rejected."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping


class EventPlaces:
    """Partition and offset of every event sent; eight bytes each, and one for a rejection.

    :meth:`note` is called by the producer's thread. The others are called after its last event.
    """

    def __init__(self) -> None:
        self._offsets: dict[int, array[int]] = {}
        self._rejected: dict[int, bytearray] = {}
        self.reasons: Counter[str] = Counter()

    def note(self, partition: int, offset: int) -> None:
        """An event has reached the log there."""
        self._offsets.setdefault(partition, array("q")).append(offset)

    def close(self) -> None:
        """Nothing is noted any more."""
        for partition, offsets in self._offsets.items():
            self._offsets[partition] = array("q", sorted(offsets))
            self._rejected[partition] = bytearray(len(offsets))

    def reject(self, partition: int, offset: int, reason: str) -> None:
        """The record there was rejected. Other records than ours, and repetitions, do not count."""
        offsets = self._offsets.get(partition, array("q"))
        at = bisect_left(offsets, offset)
        if at == len(offsets) or offsets[at] != offset or self._rejected[partition][at]:
            return
        self._rejected[partition][at] = 1
        self.reasons[reason] += 1

    def taken(self, applied: Mapping[int, int]) -> int:
        """How many lie below the offsets that have been applied, by partition."""
        return sum(
            bisect_left(offsets, applied.get(partition, 0))
            for partition, offsets in self._offsets.items()
        )

    def __len__(self) -> int:
        return sum(map(len, self._offsets.values()))
