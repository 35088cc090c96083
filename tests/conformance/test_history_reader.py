"""One suite for every ``HistoryReader``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from rocksdict import Options, Rdict, WriteBatch

from everfresh.adapters.memory import MemoryHistoryReader
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.contracts.errors import StateFormatError
from everfresh.contracts.event import UserId
from everfresh.contracts.ports import HistoryReader
from everfresh.contracts.sequence import (
    FORMAT,
    META_KEY,
    USER_PREFIX,
    PartitionMeta,
    UserState,
    encode_entry,
    encode_id,
    pack_sequence,
)

TOPIC = "t.events"
LENGTH = 3
ACTIONS = ["view", "like"]


def user_pairs(user: UserId, items: list[int], offset: int) -> dict[bytes, bytes]:
    entries = b"".join(encode_entry(item, item % 2, 1000 + item, None) for item in items)
    return {USER_PREFIX + encode_id(user): pack_sequence(9, offset, len(items), entries)}


def meta_pair(partition: int, applied: int, form: int = FORMAT) -> dict[bytes, bytes]:
    meta = PartitionMeta(form, "cluster", TOPIC, "id", partition, applied, ACTIONS)
    return {META_KEY: msgspec.msgpack.encode(meta)}


class Memory:
    def __init__(self) -> None:
        self._stores: dict[int, dict[bytes, bytes]] = {}
        self.reader = MemoryHistoryReader(self._stores, LENGTH)

    def write(self, partition: int, pairs: Mapping[bytes, bytes]) -> None:
        self._stores.setdefault(partition, {}).update(pairs)

    def close(self) -> None:
        """Nothing is open."""


class Rocks:
    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._writers: dict[int, Rdict] = {}
        self.reader = RocksHistoryReader(state_dir, TOPIC, LENGTH, catch_up_ms=5)

    def write(self, partition: int, pairs: Mapping[bytes, bytes]) -> None:
        if partition not in self._writers:
            self._state_dir.mkdir(exist_ok=True)
            path = self._state_dir / f"{TOPIC}-{partition}"
            self._writers[partition] = Rdict(str(path), Options(raw_mode=True))
        batch = WriteBatch(raw_mode=True)
        for key, value in pairs.items():
            batch.put(key, value)
        self._writers[partition].write(batch)

    def close(self) -> None:
        self.reader.close()
        for writer in self._writers.values():
            writer.close()


State = Memory | Rocks


@pytest.fixture(params=["memory", "rocksdb"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    opened: State = Memory() if request.param == "memory" else Rocks(tmp_path / "state")
    yield opened
    opened.close()


def items(state: UserState | None) -> list[int | str] | None:
    return None if state is None else [interaction.item for interaction in state.history]


def settled(reader: HistoryReader, user: UserId, offset: int) -> UserState | None:
    """The user's state once it has reached ``offset``; readers follow within milliseconds."""
    state = None
    for _ in range(400):
        state = reader.read(user)
        if state is not None and state.offset == offset:
            break
        time.sleep(0.01)
    return state


def test_a_user_without_events_has_no_state(state: State) -> None:
    assert state.reader.read("nobody") is None
    state.write(0, meta_pair(0, 1))
    assert state.reader.read("nobody") is None


def test_a_state_tells_its_partition_offset_count_and_history(state: State) -> None:
    state.write(1, {**meta_pair(1, 43), **user_pairs("ann", [4, 5], 42)})
    user_state = settled(state.reader, "ann", 42)
    assert user_state is not None
    assert (user_state.user, user_state.partition, user_state.offset, user_state.accepted) == (
        "ann",
        1,
        42,
        9,
    )
    assert [(entry.item, entry.action, entry.time) for entry in user_state.history] == [
        (4, "view", 1004),
        (5, "like", 1005),
    ]


def test_readers_take_the_last_entries_however_many_are_kept(state: State) -> None:
    state.write(0, {**meta_pair(0, 1), **user_pairs(1, [1, 2, 3, 4, 5], 7)})
    assert items(settled(state.reader, 1, 7)) == [3, 4, 5]


def test_a_reader_follows_the_writer(state: State) -> None:
    state.write(0, {**meta_pair(0, 1), **user_pairs(1, [1], 7)})
    assert items(settled(state.reader, 1, 7)) == [1]
    state.write(0, {**meta_pair(0, 2), **user_pairs(1, [1, 2], 8)})
    assert items(settled(state.reader, 1, 8)) == [1, 2]


def test_the_number_and_the_text_are_two_users(state: State) -> None:
    state.write(0, {**meta_pair(0, 1), **user_pairs(7, [1], 5), **user_pairs("7", [2], 6)})
    assert items(settled(state.reader, 7, 5)) == [1]
    assert items(settled(state.reader, "7", 6)) == [2]


@pytest.mark.parametrize("partition", range(4))
def test_a_user_is_found_wherever_the_partitioner_put_them(state: State, partition: int) -> None:
    for number in range(4):
        state.write(number, meta_pair(number, 1))
    state.write(partition, user_pairs("ann", [3], 5))
    user_state = settled(state.reader, "ann", 5)
    assert user_state is not None
    assert user_state.partition == partition


def test_a_partition_says_how_far_it_is(state: State) -> None:
    assert state.reader.partition_meta(0) is None
    state.write(0, {**meta_pair(0, 11), **user_pairs(1, [1], 10)})
    settled(state.reader, 1, 10)
    meta = state.reader.partition_meta(0)
    assert meta is not None
    assert (meta.applied, meta.actions) == (11, ACTIONS)


def test_state_of_another_format_is_refused(state: State) -> None:
    state.write(0, {**meta_pair(0, 1, form=99), **user_pairs(1, [1], 10)})
    with pytest.raises(StateFormatError, match=f"format {FORMAT} expected, found 99"):
        settled(state.reader, 1, 10)


def test_a_sequence_can_be_had_before_it_is_decoded(state: State) -> None:
    assert state.reader.stored("ann") is None
    state.write(0, {**meta_pair(0, 1), **user_pairs("ann", [1, 2, 3, 4], 7)})
    settled(state.reader, "ann", 7)
    stored = state.reader.stored("ann")
    assert stored is not None
    assert (stored.user, stored.partition, stored.length) == ("ann", 0, LENGTH)
    assert stored.decode() == state.reader.read("ann")
