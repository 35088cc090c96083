"""How far a partition has been read where the log's last entries are no records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from everfresh.streaming.worker import StreamWorker

END = 10


class Consumer:
    """Where a consumer reads, and up to where it has handed records over."""

    def __init__(self, position: int | None, taken: int) -> None:
        self.taken_end = {0: taken}
        self.sought = {0}
        self._position = position

    async def position(self, tp: object) -> int | None:
        return self._position


class Said(Exception):
    """Ends a report with what it said."""


def worker(applied: int, position: int | None, taken: int) -> Any:
    async def ends(numbers: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(numbers, END)

    def say(state: str, lag: int | str) -> None:
        raise Said(lag)

    made: Any = StreamWorker.__new__(StreamWorker)
    made._identity, made._metrics = SimpleNamespace(topic="t"), SimpleNamespace(lag=0.0)
    made._consumer = lambda: Consumer(position, taken)
    made._owned = {0: SimpleNamespace(partition=SimpleNamespace(applied=applied))}
    made._probe, made._say = SimpleNamespace(ends=ends), say
    return made


@pytest.mark.parametrize(
    ("applied", "position", "taken", "reached"),
    [
        (8, END, 8, END),  # markers alone lie behind the last record
        (8, END, 9, 8),  # a record is on its way from the fetching thread
        (8, 9, 8, 9),  # not all has been read
        (8, None, 8, 8),
    ],
)
def test_a_partition_is_idle_once_all_that_was_taken_has_been_applied(
    applied: int, position: int | None, taken: int, reached: int
) -> None:
    assert asyncio.run(worker(applied, position, taken)._reached(0, applied)) == reached


@pytest.mark.parametrize(
    ("position", "taken", "lag"),
    [(END, 8, 0), (END, 9, 2), (9, 8, 1), (None, 8, 2)],
)
def test_markers_behind_the_last_record_are_no_lag(
    position: int | None, taken: int, lag: int
) -> None:
    with pytest.raises(Said) as said:
        asyncio.run(worker(8, position, taken)._report())
    assert said.value.args == (lag,)
