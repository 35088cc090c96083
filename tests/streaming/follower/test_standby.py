"""A follower's fold: whoever holds a partition at offset n holds the same of every user (law 1)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

import pytest

from everfresh.contracts.errors import LogMismatch, StateError, StateFormatError
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.follower.standby import (
    Standby,
    begin_standby,
    open_standby,
    require_standby,
    strip_ownership,
)
from everfresh.streaming.state.key_layout import (
    CLOSING_KEY,
    JOIN_PREFIX,
    OUTBOX_PREFIX,
    SLICE_HEAD_KEY,
)
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.follower.state_digest import state_digest
from tests.streaming.sample_log import (
    START_MS,
    LogRecord,
    accepted,
    expected_states,
    opened,
    place,
    rejected,
    rules,
    states,
)

HISTORY = rules().history_length
REMEMBERING = rules(remember_ids=40)


def log(number: int, seed: int) -> list[LogRecord]:
    """Events of few users over many windows; some cannot be accepted, some come twice."""
    choose = random.Random(seed)
    records: list[LogRecord] = []
    for offset in range(number):
        at_ms = START_MS + 37 * offset
        if choose.random() < 0.05:
            records.append(rejected(offset, at_ms))
        elif offset > 9 and choose.random() < 0.1:
            again = records[offset - choose.randrange(1, 9)]
            records.append(LogRecord(offset, at_ms, again.key, again.value))
        else:
            user = choose.choice([choose.randrange(9), f"u{choose.randrange(9)}"])
            records.append(accepted(offset, user, choose.randrange(50), at_ms))
    return records


def fetches(records: Sequence[LogRecord], choose: random.Random) -> Iterable[list[LogRecord]]:
    at = 0
    while at < len(records):
        size = choose.choice([1, 2, 9, 40])
        yield list(records[at : at + size])
        at += size


def standby(store: MemoryStore, with_rules: FoldRules = REMEMBERING, **where: int) -> Standby:
    if not store.pairs:
        begin_standby(store, place(**where), with_rules)
    return open_standby(store, place(**where), with_rules)


def digest(store: MemoryStore) -> str:
    return state_digest(store.pairs, HISTORY)


@pytest.mark.parametrize("seed", range(5))
def test_worker_and_follower_at_the_same_offset_hold_the_same_of_every_user(seed: int) -> None:
    choose, records = random.Random(seed), log(700, seed)
    ours, theirs = MemoryStore(), MemoryStore()
    worker, follower = opened(ours, REMEMBERING), standby(theirs)
    for number, fetch in enumerate(fetches(records, choose)):
        worker.apply(fetch)
        if worker.has_parts_to_make and choose.random() < 0.5:
            worker.make_part()
        for piece in fetches(fetch, choose):  # cut in another way
            follower.apply(piece)
        if choose.random() < 0.5:
            follower.settle()
        at = fetch[-1].offset + 1
        assert worker.applied == follower.applied == at
        if number % 7 == 0 or at == len(records):
            assert digest(ours) == digest(theirs)


def test_a_standbys_state_is_the_fold_of_the_accepted_events_in_log_order() -> None:
    records, store = log(700, 1), MemoryStore()
    standby(store, rules(remember_ids=10_000)).apply(records)
    firsts = {record.value: record for record in reversed(records)}.values()
    in_order = sorted(firsts, key=lambda record: record.offset)
    assert states(store.pairs, HISTORY) == expected_states(in_order, HISTORY)


@pytest.mark.parametrize("seed", range(5))
def test_a_snapshot_taken_at_any_moment_makes_the_same_standby(seed: int) -> None:
    choose, records = random.Random(seed), log(500, seed)
    ours = MemoryStore()
    worker = opened(ours, REMEMBERING)
    copies: list[dict[bytes, bytes]] = []
    for fetch in fetches(records, choose):
        worker.apply(fetch)
        if worker.has_parts_to_make and choose.random() < 0.5:
            worker.make_part()
        if choose.random() < 0.2:
            copies.append(dict(ours.pairs))
    for copy in copies:
        theirs = MemoryStore(copy)
        strip_ownership(theirs)
        follower = open_standby(theirs, place(), REMEMBERING)
        for fetch in fetches(records[follower.applied :], choose):
            follower.apply(fetch)
            if choose.random() < 0.3:
                follower.settle()
        assert digest(theirs) == digest(ours)


def test_what_an_owner_was_half_way_through_is_not_merged_with_what_comes_later() -> None:
    ours, records, long = MemoryStore(), log(200, 1), rules(stretch_events=10_000, part_bytes=1)
    worker = opened(ours, long)
    at = 0
    while not worker.has_parts_to_make:  # until a window has ended
        worker.apply([records[at]])
        at += 1
    for _ in range(3):
        worker.make_part()  # one user's each
    assert worker.has_parts_to_make
    theirs = MemoryStore(dict(ours.pairs))
    strip_ownership(theirs)
    follower = open_standby(theirs, place(), long)
    for record in records[at:]:  # so many small segments that they become one
        follower.apply([record])
        worker.apply([record])
    assert digest(theirs) == digest(ours)


@pytest.mark.parametrize("seed", range(3))
def test_killed_between_any_two_writes_a_follower_goes_on_exactly(seed: int) -> None:
    choose, records = random.Random(seed), log(400, seed)
    whole, killed = MemoryStore(), MemoryStore()
    standby(whole).apply(records)
    follower = standby(killed)
    while follower.applied < len(records):
        begin = max(0, follower.applied - choose.randrange(5))  # what was read is read again
        follower.apply(records[begin : begin + choose.choice([3, 30])])
        if choose.random() < 0.4:
            follower.settle()
        if choose.random() < 0.4:
            follower = standby(killed)
    while follower.settling:
        follower.settle()
    assert digest(killed) == digest(whole)


def test_readers_see_the_same_before_between_and_after_the_steps_of_settling() -> None:
    records = [accepted(at, at % 600, at, START_MS + at) for at in range(2000)]
    store = MemoryStore()
    follower = standby(store, rules(stretch_events=1900))
    follower.apply(records)
    before, steps = states(store.pairs, HISTORY), 0
    assert before == expected_states(records, HISTORY)
    while follower.settling:
        follower.settle()
        steps += 1
        assert states(store.pairs, HISTORY) == before
    assert steps > 1


def test_a_standby_has_nothing_that_only_an_owner_needs() -> None:
    store = MemoryStore()
    opened(store, REMEMBERING).apply(log(300, 1))
    assert any(key.startswith(OUTBOX_PREFIX) for key in store.pairs)
    strip_ownership(store)
    open_standby(store, place(), REMEMBERING).apply(log(400, 1)[300:])
    private = (OUTBOX_PREFIX, JOIN_PREFIX, SLICE_HEAD_KEY, CLOSING_KEY)
    assert not [key for key in store.pairs if key.startswith(private)]


def test_a_follower_does_not_touch_a_workers_state() -> None:
    store = MemoryStore()
    opened(store).apply(log(10, 1))
    with pytest.raises(StateError, match=r"a stream worker's.*home of its own"):
        require_standby(store, place())


def test_a_worker_does_not_go_on_with_a_followers_state() -> None:
    store = MemoryStore()
    standby(store, rules()).apply(log(10, 1))
    with pytest.raises(StateFormatError):
        opened(store)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"history_length": 9}, "state.history_length 5, and here that is 9"),
        ({"remember_ids": 9}, "events.remember_ids 0, and here that is 9"),
        ({"max_bytes": 99}, "events.max_bytes 65536, and here that is 99"),
        ({"ahead_ms": 1}, "events.ahead_s"),
        ({"actions": ["like", "view"]}, "events.actions"),
    ],
)
def test_a_state_folded_by_other_settings_is_refused_by_name(
    changed: Mapping[str, int | list[str]], name: str
) -> None:
    store = MemoryStore()
    opened(store).apply(log(10, 1))
    strip_ownership(store)
    with pytest.raises(StateFormatError, match=name):
        open_standby(store, place(), rules(**changed))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"topic_id": "another"}, "folded from topic_id id"),
        ({"cluster": "another"}, "folded from cluster"),
        ({"partitions": 2}, "2 partitions"),
        ({"end": 5}, "reaches offset 10, the log ends at 5: the log was cut"),
        ({"start": 11}, "begins at 11"),
    ],
)
def test_a_standby_of_another_log_or_of_one_that_was_cut_is_refused(
    where: dict[str, int | str], said: str
) -> None:
    store = MemoryStore()
    standby(store, rules()).apply(log(10, 1))
    with pytest.raises(LogMismatch, match=said):
        open_standby(store, place(**where), rules())


class Full(MemoryStore):
    full = False

    def write(
        self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = (), *, sync: bool = True
    ) -> None:
        if self.full:
            raise StateError("no room")
        super().write(puts, deletes, sync=sync)


def test_on_a_full_disk_a_follower_applies_nothing_by_half() -> None:
    store, records = Full(), log(60, 1)
    follower = standby(store)
    follower.apply(records[:20])
    held = digest(store)
    store.full = True
    with pytest.raises(StateError, match="no room"):
        follower.apply(records[20:40])
    store.full = False
    with pytest.raises(StateError, match="no room"):  # the fold has gone on without it
        follower.apply(records[40:])
    assert digest(store) == held
    standby(store).apply(records[20:])
    whole = MemoryStore()
    standby(whole).apply(records)
    assert digest(store) == digest(whole)
