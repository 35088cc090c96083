"""Opening a fold: where it resumes, and which states it refuses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from everfresh.contracts.errors import LogMismatch, StateFormatError
from everfresh.contracts.sequence import META_KEY, PartitionMeta
from everfresh.streaming.state.key_layout import SLICE_HEAD_KEY
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import (
    START_MS,
    accepted,
    delivered,
    opened,
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
        ({"partitions": 6}, "has 6 partitions, its state was folded from 1"),
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


@pytest.mark.parametrize("key", [META_KEY, SLICE_HEAD_KEY])
def test_foreign_bytes_are_refused(key: bytes) -> None:
    store = store_with()
    store.pairs[key] = b"\xc1nonsense"
    with pytest.raises(StateFormatError, match="rebuild it from the log"):
        opened(store)


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
