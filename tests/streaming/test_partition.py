"""One partition: what waits after a restart, and what a failed write leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from everfresh.contracts.errors import StateError
from everfresh.streaming.state.key_layout import OUTBOX_PREFIX
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import (
    PERIOD_MS,
    START_MS,
    accepted,
    delivered,
    opened,
    rejected,
    slices,
)


def test_what_was_not_delivered_is_still_there_after_a_restart() -> None:
    store = MemoryStore()
    opened(store).apply([rejected(0, START_MS), accepted(1, 1, 1, START_MS + 5000)])
    again = opened(store)
    rows = list(delivered(again))
    assert [row.topic for row in rows] == ["windows", "dead-letters"]
    assert again.outbox.waiting == 0
    assert list(delivered(opened(store))) == []


def test_what_waits_is_counted_in_bytes_without_a_slice_in_the_making() -> None:
    store = MemoryStore()
    partition = opened(store)
    partition.apply([rejected(0, START_MS)])
    dead_letter = outbox_bytes(store)
    assert partition.outbox.waiting_bytes == dead_letter > 0
    partition.apply([accepted(1, 1, 1, START_MS), accepted(2, 1, 1, START_MS + PERIOD_MS)])
    assert partition.has_parts_to_make
    assert opened(store).outbox.waiting_bytes == partition.outbox.waiting_bytes == dead_letter
    while partition.has_parts_to_make:
        partition.make_part()
    assert (
        partition.outbox.waiting_bytes
        == opened(store).outbox.waiting_bytes
        == outbox_bytes(store)
        > dead_letter
    )
    while partition.outbox.waiting:
        partition.outbox.remove_oldest()
    assert partition.outbox.waiting_bytes == opened(store).outbox.waiting_bytes == 0


def outbox_bytes(store: MemoryStore) -> int:
    return sum(len(row) for _, row in store.scan(OUTBOX_PREFIX))


def test_a_batch_is_removed_as_a_whole_and_none_reuses_its_number_meanwhile() -> None:
    store = MemoryStore()
    partition = opened(store)
    for offset in range(4):
        partition.apply([accepted(offset, 1, 1, START_MS + 1000 * offset)])
    partition.outbox.remove_oldest()
    partition = opened(store)
    partition.apply([accepted(4, 1, 1, START_MS + 4000)])
    labels = [closed.label for closed, _ in slices(delivered(partition))]
    assert labels == [START_MS // 1000 + number for number in (1, 2, 3)]


class Cramped(MemoryStore):
    """A disk that has no room for a while."""

    full = False

    def write(
        self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = (), *, sync: bool = True
    ) -> None:
        if self.full:
            raise StateError("no room")
        super().write(puts, deletes, sync=sync)


def test_after_a_write_that_failed_nothing_more_is_written() -> None:
    store = Cramped()
    partition = opened(store)
    partition.apply([accepted(0, 1, 1, START_MS), accepted(1, 1, 1, START_MS + PERIOD_MS)])
    assert partition.has_parts_to_make
    store.full = True
    with pytest.raises(StateError):
        partition.apply([accepted(2, 1, 1, START_MS + PERIOD_MS)])
    store.full = False
    for again in (partition.make_part, lambda: partition.close_until(10**9)):
        with pytest.raises(StateError):
            again()
    assert opened(MemoryStore(store.pairs)).applied == 2
