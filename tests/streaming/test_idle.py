from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from streaming.worker import StreamWorker

END = 10


class Consumer:
    """Where a consumer reads, and up to where it has handed records over."""

    def __init__(self, position: int | None, taken: int) -> None:
        self.taken_end = {0: taken}
        self.sought = {0}
        self._position = position

    async def position(self, tp: object) -> int | None:
        return self._position


def has_read_to_the_end(applied: int, position: int | None, taken: int) -> bool:
    worker = SimpleNamespace(
        _identity=SimpleNamespace(topic="t"), _consumer=lambda: Consumer(position, taken)
    )
    return asyncio.run(StreamWorker._read_to(cast(StreamWorker, worker), 0, applied, END))


@pytest.mark.parametrize(
    ("applied", "position", "taken", "idle"),
    [
        (8, END, 8, True),  # markers alone lie behind the last record
        (8, END, 9, False),  # a record is on its way from the fetching thread
        (8, 9, 8, False),  # not all has been read
        (8, None, 8, False),
    ],
)
def test_a_partition_is_idle_once_all_that_was_taken_has_been_applied(
    applied: int, position: int | None, taken: int, idle: bool
) -> None:
    assert has_read_to_the_end(applied, position, taken) == idle
