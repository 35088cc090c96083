"""How far a partition has been read where the log has entries that are no records, or a hole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from everfresh.streaming.log.records import Fetch
from everfresh.streaming.log_reading import LogReading
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import START_MS, accepted, opened

END = 10
LOG = [accepted(n, n % 2, n, START_MS + 500 * n) for n in range(10)]


class Consumer:
    """Where a consumer reads, and up to where it has handed records over."""

    def __init__(self, position: int | None, taken: int) -> None:
        self.taken_end = {0: taken}
        self.resumed = {0}
        self._position = position

    async def position(self, tp: object) -> int | None:
        return self._position


def reading(position: int | None, taken: int) -> LogReading:
    async def ends(numbers: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(numbers, END)

    probe: Any = SimpleNamespace(ends=ends)
    consumer: Any = Consumer(position, taken)
    return LogReading("t", probe, lambda: consumer)


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
    assert asyncio.run(reading(position, taken).read_up_to(0, applied)) == reached


@pytest.mark.parametrize(
    ("position", "taken", "lag"),
    [(END, 8, 0), (END, 9, 2), (9, 8, 1), (None, 8, 2)],
)
def test_markers_behind_the_last_record_are_no_lag(
    position: int | None, taken: int, lag: int
) -> None:
    owned: Any = {0: SimpleNamespace(applied=8)}
    assert asyncio.run(reading(position, taken).lag(owned)) == lag


@pytest.mark.parametrize(("readable", "sent_back"), [(0, True), (None, True), (5, False)])
def test_only_the_log_can_say_that_records_between_state_and_fetch_are_a_hole(
    readable: int | None, sent_back: bool
) -> None:
    sought = []

    async def seek(where: dict[TP, int]) -> None:
        sought.append(where)

    async def starts(numbers: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(numbers, 0)

    async def asked(number: int, offset: int) -> int | None:
        return readable

    async def run() -> None:
        consumer: Any = SimpleNamespace(seek_wait=seek)
        probe: Any = SimpleNamespace(starts=starts, next_offset=asked)
        reading = LogReading("t", probe, lambda: consumer)
        owned: Any = SimpleNamespace(applied=opened(MemoryStore()).applied)
        for _ in range(3):
            assert await reading.sent_back(owned, Fetch(0, LOG[5:])) is sent_back

    asyncio.run(run())
    assert sought == [{TP("t", 0): 0}] * (3 * sent_back)
