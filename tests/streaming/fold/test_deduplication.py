"""Events that are sent again are applied once, however the log is cut into fetches."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.event import Event, UserId, user_key
from everfresh.streaming.fold import deduplication as module
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.key_layout import DEDUPLICATION_PREFIX
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import (
    PERIOD_MS,
    START_MS,
    LogRecord,
    accepted,
    delivered,
    expected_states,
    opened,
    rejected,
    rules,
    states,
)

LIMIT = 4
RULES = rules(remember_ids=LIMIT)
Sent = tuple[UserId, str]


def log_of(sent: list[Sent | None]) -> list[LogRecord]:
    """One record for each; ``None`` is a malformed one."""
    return [
        rejected(at, START_MS + 300 * at)
        if pair is None
        else LogRecord(
            at,
            START_MS + 300 * at,
            user_key(pair[0]),
            msgspec.json.encode(Event(pair[1], "view", START_MS, pair[0], at, None, "r")),
        )
        for at, pair in enumerate(sent)
    ]


def repeated(sent: list[Sent | None]) -> list[int]:
    """Offsets of the duplicates, in the plainest way."""
    young: set[tuple[type, UserId, str]] = set()
    old: set[tuple[type, UserId, str]] = set()
    offsets = []
    for at, pair in enumerate(sent):
        if pair is None:
            continue
        if len(young) == LIMIT:
            old, young = young, set()
        event = (type(pair[0]), *pair)
        if event in young or event in old:
            offsets.append(at)
        else:
            young.add(event)
    return offsets


def dead_letters(partition: Partition) -> list[tuple[str, int]]:
    rows = [row for row in delivered(partition) if row.topic == "dead-letters"]
    headers = [dict(row.headers) for row in rows]
    return [(each["dead_reason"].decode(), int(each["dead_offset"])) for each in headers]


_sent: st.SearchStrategy[list[Sent | None]] = st.lists(
    st.none() | st.tuples(st.sampled_from([1, 1, 1, "1"]), st.sampled_from("abcdefghi")),
    max_size=40,
)


@given(sent=_sent, cuts=st.lists(st.tuples(st.integers(0, 40), st.booleans())))
def test_an_event_sent_again_is_applied_once_however_the_log_is_cut(
    sent: list[Sent | None], cuts: list[tuple[int, bool]]
) -> None:
    """Any split into fetches, restarts and deaths before a write: the same duplicates."""
    log, store = log_of(sent), MemoryStore()
    partition, accepted, named = opened(store, RULES), 0, 0
    for (begin, dies), (end, _) in pairwise([(0, False), *sorted(cuts), (len(log), False)]):
        if dies:  # after the fold, before its write
            partition = opened(MemoryStore(dict(store.pairs)), RULES)
            partition.apply(log[begin:end])
            partition = opened(store, RULES)
        batch = partition.apply(log[begin:end])
        accepted += batch.accepted
        named += len(batch.feedback)
    twice = repeated(sent)
    good = [record for record in log if record.offset not in twice]
    assert states(store.pairs, RULES.history_length) == expected_states(good, RULES.history_length)
    bad = [("not_json", at) for at, pair in enumerate(sent) if pair is None]
    assert dead_letters(partition) == sorted(
        [*bad, *(("duplicate_id", at) for at in twice)], key=lambda letter: letter[1]
    )
    assert accepted == named == len(sent) - len(bad) - len(twice)


def test_ids_of_other_users_do_not_matter() -> None:
    store = MemoryStore()
    batch = opened(store, RULES).apply(log_of([(1, "a"), ("1", "a"), (2, "a"), (2, "a")]))
    assert (batch.accepted, batch.rejected) == (3, {"duplicate_id": 1})


def test_hashes_that_clash_cost_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "hash", lambda name: 7, raising=False)
    sent: list[Sent | None] = [(1, "a"), (1, "b"), (1, "a"), (1, "c")]
    batch = opened(MemoryStore(), RULES).apply(log_of(sent))
    assert (batch.accepted, batch.rejected) == (3, {"duplicate_id": 1})


def test_what_is_remembered_is_bounded_on_disk_too() -> None:
    store = MemoryStore()
    partition = opened(store, RULES)
    for record in log_of([(1, f"e{number}") for number in range(100)]):
        partition.apply([record])
        assert sum(key.startswith(DEDUPLICATION_PREFIX) for key in store.pairs) <= 2 * LIMIT


def test_with_a_limit_of_0_nothing_is_remembered() -> None:
    store = MemoryStore()
    opened(store, RULES).apply(log_of([(1, "a")]))
    partition = opened(store, rules(remember_ids=0))
    assert not [key for key in store.pairs if key.startswith(DEDUPLICATION_PREFIX)]
    assert partition.apply(log_of([(1, "a"), (1, "a")])).accepted == 1


def test_a_duplicate_does_not_keep_its_users_place_among_the_examples() -> None:
    """Where a fetch begins must not show in a slice's bytes, also where it begins with one."""
    users = [9, 9, 8, 8, 1, 8]
    log = [accepted(offset, user, 1, START_MS) for offset, user in enumerate(users)]
    log[3].value = (log[3].value or b"").replace(b'"e3"', b'"e2"')
    runs = []
    for cut in range(len(log)):
        partition = opened(MemoryStore(), rules(remember_ids=100, stretch_events=3))
        partition.apply(log[:cut])
        batch = partition.apply(log[cut:])
        partition.close_until(START_MS // PERIOD_MS)
        while partition.has_parts_to_make:
            partition.make_part()
        runs.append([row.value for row in delivered(partition) if row.topic == "windows"])
    assert batch.accepted
    assert len(runs[0]) > 1
    assert all(run == runs[0] for run in runs)
