"""Recent events, read from the segments of a state while its worker writes it."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everfresh.adapters.state import recent
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.adapters.state.recent import RecentSegments
from everfresh.contracts.errors import StateError
from everfresh.contracts.event import Event
from everfresh.contracts.segment import RecentRun
from everfresh.contracts.settings.refusals import Refusals
from everfresh.streaming.follower.standby import begin_standby, open_standby
from everfresh.streaming.state.store import MemoryStore, RocksStore, block_cache
from tests.streaming.sample_log import (
    PERIOD_MS,
    START_MS,
    TOPIC,
    LogRecord,
    accepted,
    opened,
    place,
    rejected,
    rules,
)

UNSEALED = rules(stretch_events=10_000)
_Known = tuple[int, int, int | str, int | str | None, int, int]


@st.composite
def logs(draw: st.DrawFn) -> list[LogRecord]:
    """Records of few users within one period, with holes in the offsets and some bad ones."""
    offset, now, made = 0, START_MS, []
    for _ in range(draw(st.integers(0, 40))):
        offset += draw(st.sampled_from([1, 1, 1, 3]))
        now += draw(st.sampled_from([0, 0, 10]))
        if draw(st.integers(0, 9)) == 0:
            made.append(rejected(offset, now))
        else:
            user = draw(st.sampled_from([1, 1, 1, "1", "b"]))
            made.append(accepted(offset, user, draw(st.integers(0, 5)), now))
    return made


def expected(log: list[LogRecord]) -> list[_Known]:
    """Offset, append time, item, the same user's item before, time and the time of that event
    before, of accepted events."""
    last: dict[object, tuple[int | str, int]] = {}
    events: list[_Known] = []
    for record in log:
        try:
            event = msgspec.json.decode(record.value or b"", type=Event)
        except msgspec.DecodeError:
            continue
        before, at = last.get(event.user_id, (None, 0))
        events.append((record.offset, record.timestamp, event.item_id, before, event.time, at))
        last[event.user_id] = event.item_id, event.time
    return events


def rows(runs: list[RecentRun]) -> list[_Known]:
    return [
        row
        for run in runs
        for row in zip(
            *(run.offsets, run.appended, run.items, run.before, run.times, run.earlier), strict=True
        )
    ]


def polled(events: RecentSegments) -> list[RecentRun]:
    runs: list[RecentRun] = []
    while fresh := list(events.poll()):
        runs += fresh
    return runs


@given(log=logs(), cuts=st.lists(st.integers(0, 40), max_size=6), look=st.booleans())
@settings(max_examples=30)
def test_each_event_comes_once_with_what_its_user_had_before(
    log: list[LogRecord], cuts: list[int], look: bool
) -> None:
    store = MemoryStore()
    worker, events = opened(store, UNSEALED), RecentSegments(lambda: {0: store.get})
    runs: list[RecentRun] = []
    bounds = [0, *sorted(cuts), len(log)]
    for begin, end in itertools.pairwise(bounds):
        worker.apply(log[begin:end])
        if look:
            runs += polled(events)
    runs += polled(events)
    assert rows(runs) == expected(log)
    assert all(one.end <= two.begin for one, two in itertools.pairwise(runs))


def test_segments_that_were_made_one_are_read_as_far_as_they_are_new() -> None:
    store = MemoryStore()
    worker, events = opened(store, UNSEALED), RecentSegments(lambda: {0: store.get})
    log = [accepted(at, at % 3, at, START_MS) for at in range(200)]
    seen: list[_Known] = []
    for at in range(0, 200, 2):
        worker.apply(log[at : at + 2])
        if at % 14 == 0:
            seen += rows(polled(events))
    seen += rows(polled(events))
    assert seen == expected(log)


def test_what_left_the_segments_unread_is_missing_and_the_rest_is_right() -> None:
    store = MemoryStore()
    worker, events = opened(store, rules()), RecentSegments(lambda: {0: store.get})
    log = [accepted(at, at % 3, at, START_MS + at * PERIOD_MS // 4) for at in range(22)]
    worker.apply(log[:2])
    seen = polled(events)
    for record in log[2:]:
        worker.apply([record])
        while worker.has_parts_to_make:
            worker.make_part()
    seen += polled(events)
    assert [(run.begin, run.end) for run in seen] == [(0, 2), (20, 21), (21, 22)]
    wanted = {row[0]: row for row in expected(log)}
    # The user's last event stands in the sequence value by then.
    assert rows(seen) == [wanted[offset] for offset in (0, 1, 20, 21)]


def test_what_users_turn_down_is_not_told_but_as_what_was_before() -> None:
    """As the trainer counts it: a value below the bound of its type, or any event of a type."""
    store = MemoryStore()
    events = RecentSegments(lambda: {0: store.get}, Refusals(["skip", "rating<3"]))
    log = [
        *(accepted(0, 1, 10, START_MS), accepted(1, 1, 11, START_MS, "skip")),
        *(accepted(2, 1, 12, START_MS, "rating"), accepted(8, 1, 13, START_MS, "rating")),
    ]
    kinds = ["view", "skip", "rating"]
    opened(store, rules(stretch_events=10_000, actions=kinds)).apply(log)
    (run,) = polled(events)
    assert list(run.items) == [10, None, None, 13]
    assert list(run.before) == [None, 10, 11, 12]
    assert list(run.earlier) == [0, *run.times[:3]]


def test_where_the_time_before_cannot_be_told_it_is_the_events_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So no visit begins by it."""
    monkeypatch.setattr(recent._Partition, "_before", lambda *_: recent._UNTOLD)
    store = MemoryStore()
    opened(store, UNSEALED).apply([accepted(at, 1, at, START_MS + at) for at in range(2)])
    (run,) = polled(RecentSegments(lambda: {0: store.get}))
    assert list(run.before) == [None, 0]
    assert list(run.earlier) == [run.times[0], run.times[0]]


def test_a_log_that_is_another_one_is_read_from_its_beginning() -> None:
    store, stores = MemoryStore(), list[MemoryStore]()
    stores.append(store)
    events = RecentSegments(lambda: {0: stores[-1].get})
    opened(store).apply([accepted(at, 1, at, START_MS) for at in range(5)])
    assert [run.end for run in polled(events)] == [5]
    stores.append(MemoryStore())
    opened(stores[-1], topic_id="anew").apply([accepted(0, 1, 8, START_MS)])
    (run,) = polled(events)
    assert (run.begin, run.end, list(run.before)) == (0, 1, [None])


def test_a_partition_of_which_nothing_is_here_has_no_events() -> None:
    store = MemoryStore()
    assert list(RecentSegments(lambda: {0: store.get}).poll()) == []
    assert list(RecentSegments(dict).poll()) == []


def test_why_a_partition_cannot_be_read_is_said_each_time_after_what_others_bring() -> None:
    def broken(key: bytes) -> bytes:
        raise StateError("the disk is gone")

    store = MemoryStore()
    worker = opened(store, UNSEALED)
    events = RecentSegments(lambda: {0: broken, 1: store.get})
    for at in range(3):
        worker.apply([accepted(at, at, at, START_MS)])
        brought: list[RecentRun] = []
        with pytest.raises(StateError):
            brought.extend(events.poll())
        assert [item for run in brought for item in run.items] == [at]


def test_a_reader_that_is_far_behind_leaves_the_oldest_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recent, "MOST", 10)
    store = MemoryStore()
    worker = opened(store, UNSEALED)
    for at in range(30):
        worker.apply([accepted(at, at, at, START_MS)])
    runs = polled(RecentSegments(lambda: {0: store.get}))
    assert runs[0].begin == 20
    assert [item for run in runs for item in run.items] == list(range(20, 30))


def test_one_call_does_so_much_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recent, "AT_ONCE", 4)
    store = MemoryStore()
    worker, events = opened(store, UNSEALED), RecentSegments(lambda: {0: store.get})
    for at in range(10):
        worker.apply([accepted(at, at, at, START_MS)])
    assert [len(list(events.poll())) for _ in range(4)] == [4, 4, 2, 0]


def test_a_followers_state_has_the_same_events_as_its_workers() -> None:
    log = [accepted(at, at % 5, at, START_MS + at) for at in range(40)]
    ours, theirs = MemoryStore(), MemoryStore()
    worker = opened(ours, UNSEALED)
    begin_standby(theirs, place(), UNSEALED)
    follower = open_standby(theirs, place(), UNSEALED)
    for at in range(0, 40, 8):
        worker.apply(log[at : at + 8])
        follower.apply(log[at : at + 3])
        follower.apply(log[at + 3 : at + 8])
    assert rows(polled(RecentSegments(lambda: {0: ours.get}))) == expected(log)
    assert rows(polled(RecentSegments(lambda: {0: theirs.get}))) == expected(log)


def test_a_state_on_disk_is_read_beside_the_worker_that_writes_it(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "state" / f"{TOPIC}-0", block_cache(8), 8)
    worker = opened(store, UNSEALED)  # type: ignore[arg-type]
    log = [accepted(at, at % 5, at, START_MS + at) for at in range(30)]
    worker.apply(log[:10])
    reader = RocksHistoryReader(tmp_path / "state", TOPIC, 5, catch_up_ms=5)
    try:
        events, seen = RecentSegments(reader.lookups), list[_Known]()
        for begin in (10, 20, 30):
            until = time.monotonic() + 240  # for what never comes
            while len(seen) < begin:
                assert time.monotonic() < until
                seen += rows(list(events.poll()))
            worker.apply(log[begin : begin + 10])
        assert seen == expected(log)
    finally:
        reader.close()
        worker.close()
