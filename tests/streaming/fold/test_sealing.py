"""What a closed slice becomes, in steps that may be interrupted anywhere."""

from __future__ import annotations

import msgspec
import pytest

from everfresh.adapters.state.user_state import UserReader
from everfresh.contracts.sequence import META_KEY, USER_PREFIX, PartitionMeta
from everfresh.contracts.window import decode_example
from everfresh.streaming.fold.rows import NO_LABEL
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.key_layout import CLOSING_KEY, OUTBOX_PREFIX
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import (
    START_MS,
    LogRecord,
    accepted,
    delivered,
    expected_states,
    opened,
    rules,
    slices,
    states,
)

LATER = START_MS + 1000
RULES = rules(stretch_events=1000, part_bytes=1024)
HISTORY = RULES.history_length


def log_of(users: int, number: int) -> list[LogRecord]:
    return [accepted(offset, offset % users, offset, START_MS) for offset in range(number)]


def closed(store: MemoryStore, users: int = 60, number: int = 240) -> Partition:
    partition = opened(store, RULES)
    partition.apply(log_of(users, number))
    partition.apply([accepted(number, 0, 7, LATER)])
    return partition


def meta_of(store: MemoryStore) -> PartitionMeta:
    return msgspec.msgpack.decode(store.pairs[META_KEY], type=PartitionMeta)


def test_a_fetch_writes_no_users_value() -> None:
    store = MemoryStore()
    opened(store, RULES).apply(log_of(60, 240))
    assert not [key for key in store.pairs if key.startswith(USER_PREFIX)]
    assert meta_of(store).segments == [(0, 240)]
    assert len(states(store.pairs, HISTORY)) == 60


def test_after_each_step_readers_see_the_same_as_before_and_after() -> None:
    store = MemoryStore()
    partition = closed(store)
    expected = expected_states([*log_of(60, 240), accepted(240, 0, 7, LATER)], HISTORY)
    steps = 0
    while partition.has_parts_to_make:
        assert states(store.pairs, HISTORY) == expected
        partition.make_part()
        steps += 1
    assert steps > 5
    assert states(store.pairs, HISTORY) == expected
    assert meta_of(store).segments == [(240, 241)]
    assert CLOSING_KEY not in store.pairs


@pytest.mark.parametrize("steps", range(8))
def test_killed_between_two_steps_the_next_owner_makes_the_same_slice(steps: int) -> None:
    store, other = MemoryStore(), MemoryStore()
    partition = closed(store)
    for _ in range(steps):
        partition.make_part()
    assert list(delivered(opened(store, RULES))) == list(delivered(closed(other)))
    assert states(store.pairs, HISTORY) == states(other.pairs, HISTORY)


def test_a_slice_is_not_delivered_before_its_last_part_is_made() -> None:
    store = MemoryStore()
    partition = closed(store)
    partition.make_part()
    assert [key for key in store.pairs if key.startswith(OUTBOX_PREFIX)]
    assert partition.outbox.waiting == 0
    assert opened(store, RULES).outbox.waiting == 0
    while partition.has_parts_to_make:
        assert partition.outbox.waiting == 0
        partition.make_part()
    assert partition.outbox.waiting == 1


def test_a_stretch_that_is_full_is_sealed_and_the_slice_goes_on() -> None:
    store = MemoryStore()
    partition = opened(store, rules(stretch_events=6, max_targets=100, history_length=3))
    partition.apply([accepted(offset, offset % 2, offset, START_MS) for offset in range(14)])
    partition.apply([accepted(14, 0, 14, LATER)])
    ((head, parts),) = slices(delivered(partition))
    shown = [
        ([entry.item for entry in made.context], [entry.item for entry in made.targets])
        for part in parts
        for raw in part.examples
        for made in [decode_example(raw, part.actions)]
    ]
    assert (head.start, head.end, head.events) == (0, 14, 14)
    assert shown == [
        ([], [0, 2, 4]),
        ([], [1, 3, 5]),
        ([0, 2, 4], [6, 8, 10]),
        ([1, 3, 5], [7, 9, 11]),
        ([6, 8, 10], [12]),
        ([7, 9, 11], [13]),
    ]


def test_closing_that_falls_behind_is_made_up_for_before_the_next_slice_closes() -> None:
    store = MemoryStore()
    partition = closed(store)
    partition.apply([accepted(241, 1, 7, LATER + 1000)])  # closes a slice while one is in work
    assert partition.outbox.waiting == 1
    assert partition.has_parts_to_make
    labels = [head.label for head, _ in slices(delivered(partition))]
    assert labels == [START_MS // 1000, LATER // 1000]
    assert NO_LABEL not in labels


def test_a_reader_between_two_looks_loses_nothing_when_a_stretch_is_let_go() -> None:
    """The description is read, then all its segments go: the reader starts over."""
    store = MemoryStore()
    partition = closed(store)
    expected = expected_states([*log_of(60, 240), accepted(240, 0, 7, LATER)], HISTORY)
    looks = 0

    def get(key: bytes) -> bytes | None:
        nonlocal looks
        value = store.pairs.get(key)
        looks += 1
        if looks == 1:
            while partition.has_parts_to_make:
                partition.make_part()
        return value

    stored = UserReader(get, 0, HISTORY).stored(5)
    assert stored is not None
    assert stored.decode() == expected[5]
    assert looks > 3


def test_a_reader_keeps_only_the_segments_that_the_state_still_names() -> None:
    store = MemoryStore()
    partition = opened(store, RULES)
    reads: list[bytes] = []

    def get(key: bytes) -> bytes | None:
        reads.append(key)
        return store.pairs.get(key)

    reader = UserReader(get, 0, HISTORY)
    for offset in range(300):
        partition.apply([accepted(offset, 1, offset, START_MS)])
        stored = reader.stored(1)
        assert stored is not None
        assert stored.decode().accepted == offset + 1
    assert len(meta_of(store).segments) < 64
    again = len(reads)
    reader.stored(1)
    assert len(reads) - again == 2  # the description and the user's value
