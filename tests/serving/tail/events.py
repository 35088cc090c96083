"""A log of several partitions for tests of the tail, and the runs that a state gives of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from everfresh.contracts.event import ItemId
from everfresh.contracts.segment import RecentRun


@dataclass(frozen=True)
class Logged:
    """One event where it stands."""

    partition: int
    offset: int
    appended: int
    item: ItemId
    before: ItemId | None
    time: int
    earlier: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self.appended, self.offset, self.partition


def made_log(number: int, partitions: int, seed: int, items: Sequence[ItemId]) -> list[Logged]:
    """In order of append time; some events of several partitions within one millisecond."""
    rng = random.Random(seed)
    offsets = [rng.randrange(5) for _ in range(partitions)]
    appended, log = 1_000, list[Logged]()
    for _ in range(number):
        appended += rng.choice([0, 0, 1, 700])
        partition = rng.randrange(partitions)
        offsets[partition] += rng.choice([1, 1, 2])
        before = rng.choice([None, *items])
        item, time = rng.choice(list(items)), appended * 100 - rng.randrange(90_000)
        earlier = 0 if before is None else time - rng.choice([5_000, 2_000_000])
        log.append(Logged(partition, offsets[partition], appended, item, before, time, earlier))
    return log


def run_of(partition: int, begin: int, end: int, log: Sequence[Logged]) -> RecentRun:
    """What a state has of these offsets."""
    events = sorted(
        (each for each in log if each.partition == partition and begin <= each.offset < end),
        key=lambda each: each.offset,
    )
    return RecentRun(
        partition,
        begin,
        end,
        [each.offset for each in events],
        [each.appended for each in events],
        [each.item for each in events],
        [each.before for each in events],
        [each.time for each in events],
        [each.earlier for each in events],
    )
