"""The newest events of all partitions that are here, kept for the tails of versions.

Bounded: beyond ``MOST`` events the older half is let go of. What is not kept is named by offsets,
so that whoever has the log can count the same events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from everfresh.contracts.event import ItemId
from everfresh.contracts.segment import RecentRun
from everfresh.model.trends.counts import Ints
from everfresh.model.trends.tail import log_order

MOST = 131_072
"""Events that are kept, of all partitions together; some 100 bytes each."""
_RANGES = 8
"""Stretches of a partition's log that are kept apart at most; the older ones are let go of."""
_NO_ITEM = 0

Ranges = tuple[tuple[int, int], ...]
"""Stretches of a partition's log ``[begin, end)``, ascending."""


def name_of(ranges: Mapping[int, Ranges]) -> str:
    """Of the events of these stretches by partition, as answers have it: ``0:120-480
    1:97-310+312-455`` are partitions and their offsets. Empty for none."""
    return " ".join(
        f"{number}:" + "+".join(f"{begin}-{end}" for begin, end in stretches)
        for number, stretches in sorted(ranges.items())
    )


class RecentSlice(msgspec.Struct, frozen=True):
    """The events after a version's offsets that are kept, in the order in which tails count them.

    ``items`` and ``before`` ``(n,)`` are numbers of :meth:`RecentLog.items`; ``keys`` ``(n, 3)``
    are append times, offsets and partitions; ``times`` ``(n,)`` are the events' own, in UTC
    seconds, and ``earlier`` ``(n,)`` those of the same users' events before them, 0 for none.
    ``missing`` records after the version's offsets are not kept, and ``ranges`` are those that
    are, by partition.
    """

    items: Ints
    before: Ints
    times: Ints
    earlier: Ints
    keys: Ints
    missing: int
    ranges: Mapping[int, Ranges]


class RecentLog:
    """Owned by one thread at a time."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        # (7, n): partition, offset, append time, event time, that of the event before, item,
        # before. The first part is in the order in which tails count, the others are as they came.
        self._parts: list[Ints] = [np.zeros((7, 0), np.int64)]
        self._ranges: dict[int, Ranges] = {}
        self._numbers: dict[ItemId, int] = {}
        self._items: list[ItemId] = []
        self.kept = 0
        self.generation = 0
        """Grows when numbers of items change."""

    def items(self) -> Sequence[ItemId]:
        """Items by number, from 1 on: the first stands at place 0."""
        return self._items

    def put(self, run: RecentRun) -> None:
        """Take in the next run of a partition."""
        ranges = self._ranges.get(run.partition, ())
        if ranges and run.begin < ranges[-1][1]:  # another log, or a state that was set back
            self._drop(run.partition, run.begin)
            ranges = self._ranges.get(run.partition, ())
        if ranges and ranges[-1][1] == run.begin:
            ranges = (*ranges[:-1], (ranges[-1][0], run.end))
        else:
            ranges = (*ranges, (run.begin, run.end))
        self._ranges[run.partition] = ranges
        if len(ranges) > _RANGES:
            self._drop_before(run.partition, ranges[1][0])
        if run.offsets:
            number = len(run.offsets)
            rows, before = self._numbers_of(run.items), self._numbers_of(run.before)
            self._parts.append(
                np.array(
                    [
                        *([run.partition] * number, run.offsets, run.appended),
                        *(run.times, run.earlier, rows, before),
                    ]
                )
            )
            self.kept += number
        if self.kept > self._most:
            self._halve()

    def since(self, through: Mapping[int, int]) -> RecentSlice:
        """What came after these offsets, by partition; all of a partition that is not named."""
        events = self._together()
        begins = np.zeros(max(self._ranges, default=0) + 1, np.int64)
        for number in self._ranges:
            begins[number] = through.get(number, 0)
        events = events[:, events[1] >= begins[events[0]]]
        kept, missing = self.ranges_since(through), 0
        for number, ranges in kept.items():
            begin = through.get(number, 0)
            missing += ranges[-1][1] - begin - sum(end - at for at, end in ranges)
        times, earlier = events[3:5] // 1000
        keys = events[[2, 1, 0]].T
        return RecentSlice(events[5], events[6], times, earlier, keys, missing, kept)

    def ranges_since(self, through: Mapping[int, int]) -> dict[int, Ranges]:
        """Those of :meth:`since`, which costs far more."""
        kept = dict[int, Ranges]()
        for number, ranges in self._ranges.items():
            begin = through.get(number, 0)
            after = tuple((max(begin, at), end) for at, end in ranges if end > begin)
            if after:
                kept[number] = after
        return kept

    def _together(self) -> Ints:
        if len(self._parts) != 1:
            events = np.concatenate(self._parts, axis=1)
            self._parts = [events[:, log_order(events[2], events[1], events[0])]]
        return self._parts[0]

    def _numbers_of(self, items: Sequence[ItemId | None]) -> list[int]:
        return [_NO_ITEM if item is None else self._number(item) for item in items]

    def _number(self, item: ItemId) -> int:
        number = self._numbers.get(item)
        if number is None:
            self._items.append(item)
            number = self._numbers[item] = len(self._items)
        return number

    def _drop(self, partition: int, offset: int) -> None:
        """Let go of a partition's events from ``offset`` on."""
        events = self._together()
        self._keep(events[:, (events[0] != partition) | (events[1] < offset)])
        cut = tuple((at, min(end, offset)) for at, end in self._ranges[partition] if at < offset)
        self._ranges[partition] = cut

    def _drop_before(self, partition: int, offset: int) -> None:
        """Let go of a partition's events before ``offset``."""
        events = self._together()
        self._keep(events[:, (events[0] != partition) | (events[1] >= offset)])
        cut = tuple((max(at, offset), end) for at, end in self._ranges[partition] if end > offset)
        self._ranges[partition] = cut

    def _halve(self) -> None:
        """Let go of the older half, by append time, and of items that nothing names any more."""
        events = self._together()
        edge = np.partition(events[2], len(events[2]) // 2)[len(events[2]) // 2]
        for number, ranges in list(self._ranges.items()):
            own = events[:, events[0] == number]
            newer = own[1][own[2] >= edge]
            self._drop_before(number, int(newer.min()) if len(newer) else ranges[-1][1])
        events = self._together()
        used, places = np.unique(events[5:], return_inverse=True)
        used = used[used != _NO_ITEM]
        names = [self._items[number - 1] for number in used]
        self._items, self._numbers = names, {name: at for at, name in enumerate(names, 1)}
        places = places.reshape(2, -1) + (0 if _NO_ITEM in events[5:] else 1)
        self._keep(np.concatenate([events[:5], places]))
        self.generation += 1

    def _keep(self, events: Ints) -> None:
        self._parts, self.kept = [events], events.shape[1]
