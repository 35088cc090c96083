"""Law 1: a record whose key belongs to another partition is no event here, and does not vanish."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from everfresh.contracts.event import UserId, user_key
from everfresh.contracts.partitioning import partition_of
from everfresh.contracts.sequence import META_KEY, PartitionMeta
from everfresh.streaming.fold.opening import mark_restored
from everfresh.streaming.join.join import Join
from everfresh.streaming.join.rows import JOIN_FORMAT, JoinHead
from everfresh.streaming.log.placement import Placement
from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.outbox.rows import OutboxRow
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.join.joined_by_hand import exposed
from tests.streaming.sample_log import (
    START_MS,
    LogRecord,
    accepted,
    delivered,
    opened,
    place,
    rules,
    states,
)

PARTITIONS = 4
FORWARD: dict[str, Any] = {"forward_misplaced": True, "remember_ids": 100}


def users_of(partition: int) -> list[int]:
    return [user for user in range(100) if _partition(user) == partition]


def _partition(user: UserId) -> int:
    return partition_of(user_key(user), PARTITIONS)


def log(users: list[int], first: int = 0) -> list[LogRecord]:
    return [accepted(first + n, user, n, START_MS) for n, user in enumerate(users)]


def not_windows(rows: list[OutboxRow]) -> list[OutboxRow]:
    return [row for row in rows if row.topic != "windows"]


def test_a_record_in_the_wrong_partition_is_counted_and_becomes_a_dead_letter() -> None:
    store = MemoryStore()
    here, there = users_of(0)[:2], users_of(3)[:2]
    partition = opened(store, partitions=PARTITIONS)
    batch = partition.apply(log([here[0], there[0], here[1], there[0], there[1]]))
    assert (batch.accepted, batch.misplaced) == (2, 3)
    assert batch.rejected == {"wrong_partition": 3}
    assert sorted(states(store.pairs, 5)) == here
    letters = list(delivered(partition))
    assert [row.key for row in letters] == [user_key(there[n]) for n in (0, 0, 1)]
    detail = dict(letters[0].headers)["dead_detail"].decode()
    assert "belongs to partition 3, found in 0" in detail
    assert "partitioner=murmur2_random" in detail


def test_more_keys_than_are_remembered_are_told_apart_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("everfresh.streaming.log.placement._REMEMBERED", 3)
    store = MemoryStore()
    batch = opened(store, partitions=PARTITIONS).apply(log([*range(100), *range(100)]))
    assert sorted(states(store.pairs, 5)) == users_of(0)
    assert batch.misplaced == 200 - batch.accepted


def test_a_forwarded_record_is_applied_once_where_it_belongs() -> None:
    here, there = users_of(0)[0], users_of(3)[0]
    source = opened(MemoryStore(), rules(**FORWARD), end=0, partitions=PARTITIONS)
    sent = [accepted(0, here, 1, START_MS), accepted(1, there, 2, START_MS)]
    sent[1].headers = [("ce_id", b"e1"), ("x", None)]  # type: ignore[list-item] # clients write it
    batch = source.apply(sent)
    assert (batch.accepted, batch.misplaced, batch.rejected) == (1, 1, {})
    (row,) = delivered(source)
    assert (row.topic, row.partition) == ("events", 3)
    assert (row.key, row.value) == (sent[1].key, sent[1].value)
    assert row.headers == [("ce_id", b"e1"), ("x", b"")]
    # The outbox may deliver it twice; the owner of the right partition takes it once.
    store = MemoryStore()
    target = opened(store, rules(**FORWARD), partition=3, end=0, partitions=PARTITIONS)
    arrived = [LogRecord(n, START_MS, row.key, row.value, row.headers) for n in range(2)]
    batch = target.apply(arrived)
    assert (batch.accepted, batch.misplaced) == (1, 0)
    assert batch.rejected == {"duplicate_id": 1}
    assert [row.topic for row in not_windows(list(delivered(target)))] == ["dead-letters"]


def test_what_a_lost_state_may_have_forwarded_is_a_dead_letter() -> None:
    there = users_of(3)[0]
    anew = opened(MemoryStore(), rules(**FORWARD), end=2, partitions=PARTITIONS)
    anew.apply(log([there, there, there]))
    assert [row.topic for row in delivered(anew)] == ["dead-letters", "dead-letters", "events"]
    store = MemoryStore()
    where = {"partitions": PARTITIONS}
    opened(store, rules(**FORWARD), end=0, **where).apply(log(users_of(0)[:1]))
    meta = msgspec.msgpack.decode(store.pairs[META_KEY], type=PartitionMeta)
    mark_restored(store, place(end=4, **where))
    restored = opened(store, rules(**FORWARD), end=4, **where)
    assert restored.applied == meta.applied == 1
    restored.apply(log([there] * 4, first=1))
    rows = not_windows(list(delivered(restored)))
    assert [row.topic for row in rows] == ["dead-letters"] * 3 + ["events"]


def test_a_record_that_the_topic_might_not_take_is_not_forwarded() -> None:
    record = accepted(0, users_of(3)[0], 1, START_MS)
    record.headers = [("x", b"y" * 5000)]
    source = opened(MemoryStore(), rules(**FORWARD), end=0, partitions=PARTITIONS)
    source.apply([record])
    assert [row.topic for row in delivered(source)] == ["dead-letters"]


def test_windows_do_not_depend_on_what_becomes_of_misplaced_records() -> None:
    records = [accepted(n, n % 40, n, START_MS + n * 100) for n in range(100)]
    cut = []
    for with_rules in (rules(), rules(**FORWARD)):
        partition = opened(MemoryStore(), with_rules, end=0, partitions=PARTITIONS)
        partition.apply(records)
        cut.append([row for row in delivered(partition) if row.topic == "windows"])
    assert cut[0] == cut[1] != []


def test_an_exposure_in_the_wrong_partition_is_a_dead_letter() -> None:
    store = MemoryStore()
    head = JoinHead(JOIN_FORMAT, "id", 0, 0)
    join = Join(head, 0, 100, store, Outbox(store), Placement(0, PARTITIONS))
    here, there = users_of(0)[0], users_of(3)[0]
    batch = join.add_exposures([exposed(0, 1000, "a", here), exposed(1, 1000, "b", there)])
    assert (batch.joins["exposures"], batch.misplaced) == (1, 1)
    assert batch.rejected == {"wrong_partition": 1}
