from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest

from everfresh.contracts.errors import LogMismatch, StateError, StateFormatError
from everfresh.contracts.sequence import META_KEY, PartitionMeta
from everfresh.streaming.join.rows import JOIN_KEY, JOIN_PREFIX
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.key_layout import HEAD_KEY, OUTBOX_PREFIX
from everfresh.streaming.state.opening import open_partition
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.log import (
    PERIOD_MS,
    START_MS,
    accepted,
    delivered,
    opened,
    place,
    rejected,
    rules,
    slices,
)


def store_with(count: int = 10) -> MemoryStore:
    store = MemoryStore()
    opened(store).apply([accepted(offset, 1, 1, START_MS) for offset in range(count)])
    return store


def test_an_empty_directory_begins_at_the_start_of_the_log() -> None:
    assert opened(MemoryStore(), start=40).applied == 40


def test_an_existing_state_resumes_at_its_own_offset() -> None:
    assert opened(store_with(10)).applied == 10


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"cluster": "other"}, "cluster other"),
        ({"topic_id": "recreated"}, "topic_id recreated"),
        ({"topic": "x.events"}, "topic x.events"),
        ({"partition": 3}, "partition 3"),
        ({"partitions": 6}, "has 6 partitions, its state was folded from 4"),
        ({"end": 9}, "the log ends at 9"),
        ({"start": 12, "end": 50}, "retention removed 2 records"),
    ],
)
def test_state_of_another_log_is_refused(where: dict[str, Any], words: str) -> None:
    with pytest.raises(LogMismatch, match=words):
        opened(store_with(10), **where)


def test_new_actions_may_be_added_at_the_end() -> None:
    store = store_with()
    partition = opened(store, rules(actions=["view", "click", "like", "share"]))
    partition.apply([accepted(10, 1, 1, START_MS, action="share")])
    meta = msgspec.msgpack.decode(store.pairs[META_KEY], type=PartitionMeta)
    assert meta.actions[-1] == "share"


def test_a_reordered_action_list_is_refused() -> None:
    with pytest.raises(StateFormatError, match="new actions go to the end"):
        opened(store_with(), rules(actions=["click", "view", "like"]))


def test_another_window_length_is_refused() -> None:
    with pytest.raises(StateFormatError, match="1000 ms"):
        opened(store_with(), rules(period_ms=5000))


def test_another_format_is_refused() -> None:
    store = store_with()
    meta = msgspec.msgpack.decode(store.pairs[META_KEY], type=PartitionMeta)
    store.pairs[META_KEY] = msgspec.msgpack.encode(msgspec.structs.replace(meta, format=99))
    with pytest.raises(StateFormatError, match="found 99"):
        opened(store)


@pytest.mark.parametrize("key", [META_KEY, HEAD_KEY])
def test_foreign_bytes_are_refused(key: bytes) -> None:
    store = store_with()
    store.pairs[key] = b"\xc1nonsense"
    with pytest.raises(StateFormatError, match="rebuild it from the log"):
        opened(store)


def test_what_was_not_delivered_is_still_there_after_a_restart() -> None:
    store = MemoryStore()
    opened(store).apply([rejected(0, START_MS), accepted(1, 1, 1, START_MS + 5000)])
    again = opened(store)
    rows = list(delivered(again))
    assert [row.topic for row in rows] == ["windows", "dead-letters"]
    assert again.waiting == 0
    assert list(delivered(opened(store))) == []


def test_what_waits_is_counted_in_bytes_without_a_slice_in_the_making() -> None:
    store = MemoryStore()
    partition = opened(store)
    partition.apply([rejected(0, START_MS)])
    letter = outbox_bytes(store)
    assert partition.waiting_bytes == letter > 0
    partition.apply([accepted(1, 1, 1, START_MS), accepted(2, 1, 1, START_MS + PERIOD_MS)])
    assert partition.has_sealing_work
    assert opened(store).waiting_bytes == partition.waiting_bytes == letter
    while partition.has_sealing_work:
        partition.settle()
    assert partition.waiting_bytes == opened(store).waiting_bytes == outbox_bytes(store) > letter
    while partition.waiting:
        partition.delivered()
    assert partition.waiting_bytes == opened(store).waiting_bytes == 0


def outbox_bytes(store: MemoryStore) -> int:
    return sum(len(row) for _, row in store.scan(OUTBOX_PREFIX))


def test_a_parcel_is_removed_as_a_whole_and_none_reuses_its_number_meanwhile() -> None:
    store = MemoryStore()
    partition = opened(store)
    for offset in range(4):
        partition.apply([accepted(offset, 1, 1, START_MS + 1000 * offset)])
    partition.delivered()
    partition = opened(store)
    partition.apply([accepted(4, 1, 1, START_MS + 4000)])
    labels = [closed.label for closed, _ in slices(delivered(partition))]
    assert labels == [START_MS // 1000 + number for number in (1, 2, 3)]


def test_a_changed_target_limit_holds_from_the_next_slice_on() -> None:
    store = MemoryStore()
    opened(store, rules(max_targets=4, stretch_events=20)).apply(
        [accepted(offset, 1, 1, START_MS) for offset in range(5)]
    )
    partition = opened(store, rules(max_targets=3))
    late = START_MS + 1000
    partition.apply([accepted(offset, 1, 1, START_MS) for offset in range(5, 8)])
    partition.apply([accepted(offset, 1, 1, late) for offset in range(8, 12)])
    partition.apply([accepted(12, 1, 1, late + 1000)])
    sizes = [
        [len(example.offsets) for part in parts for example in part.examples]
        for _, parts in slices(delivered(partition))
    ]
    assert sizes == [[4, 4], [3, 1]]


def exposed_to(**changes: int | str) -> LogPlace:
    return msgspec.structs.replace(place(topic="t.exposures", end=50), **changes)


def joined(store: MemoryStore, exposures: LogPlace) -> Partition:
    return open_partition(store, place(), rules(horizon_ms=100), exposures)


def test_a_join_begins_where_both_logs_begin() -> None:
    assert joined(MemoryStore(), exposed_to(start=7)).exposed == 7


def test_a_join_that_was_off_begins_with_the_exposures_end() -> None:
    assert joined(store_with(), exposed_to()).exposed == 50
    store = MemoryStore()
    partition = joined(store, exposed_to())
    partition.apply([accepted(0, 1, 1, START_MS)])
    assert joined(store, exposed_to()).exposed == 0
    opened(store).apply([accepted(1, 1, 1, START_MS)])
    assert not [key for key in store.pairs if key.startswith(JOIN_PREFIX)]
    assert joined(store, exposed_to()).exposed == 50


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"topic_id": "recreated"}, "the topic was recreated"),
        ({"end": 49}, "it ends at 49"),
        ({"start": 51, "end": 60}, "retention removed 1 records unread"),
    ],
)
def test_another_exposures_log_is_refused(where: dict[str, Any], words: str) -> None:
    store = store_with()
    joined(store, exposed_to())
    with pytest.raises(LogMismatch, match=f"{words}.*joins.horizon_s=0"):
        joined(store, exposed_to(**where))


def test_a_join_of_another_format_is_refused() -> None:
    store = store_with()
    joined(store, exposed_to())
    store.pairs[JOIN_KEY] = b"\xc1nonsense"
    with pytest.raises(StateFormatError, match=r"joins\.horizon_s=0"):
        joined(store, exposed_to())


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
    assert partition.has_sealing_work
    store.full = True
    with pytest.raises(StateError):
        partition.apply([accepted(2, 1, 1, START_MS + PERIOD_MS)])
    store.full = False
    for again in (partition.settle, lambda: partition.close_until(10**9)):
        with pytest.raises(StateError):
            again()
    assert opened(MemoryStore(store.pairs)).applied == 2
