"""Laws 1 to 3 over the fold: states, slices and dead letters follow from the log alone."""

from __future__ import annotations

import json
from itertools import chain, pairwise, repeat

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.sequence import META_KEY, PartitionMeta
from everfresh.contracts.window import decode_example
from everfresh.streaming.fold.windows import HISTORY_AFTER_MS
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
    slices,
    states,
    targets,
)

HISTORY = rules().history_length


def at(periods: float) -> int:
    return START_MS + int(periods * PERIOD_MS)


@st.composite
def logs(draw: st.DrawFn) -> list[LogRecord]:
    """Records of few users, with holes in the offsets, jumps in time and some bad ones."""
    offset, now, made = 0, START_MS, []
    for _ in range(draw(st.integers(0, 40))):
        offset += draw(st.sampled_from([1, 1, 1, 3]))
        now += draw(st.sampled_from([0, 0, 10, 400, 1000, 3500]))
        user = draw(st.sampled_from([1, 1, 1, "1", "b"]))
        if draw(st.integers(0, 9)) == 0:
            made.append(rejected(offset, now))
        else:
            ago = draw(st.sampled_from([0, HISTORY_AFTER_MS + 10**6]))
            made.append(accepted(offset, user, draw(st.integers(0, 5)), now, ago_ms=ago))
    return made


cuts_of_history = st.integers(0, 4)
"""Events after which a slice of history is cut, 0 for none."""


@given(
    log=logs(),
    cuts=st.lists(st.integers(0, 40)),
    reopen=st.booleans(),
    steps=st.lists(st.integers(0, 3), min_size=42, max_size=42),
    history=cuts_of_history,
)
def test_how_the_log_is_cut_into_fetches_leaves_no_trace(
    log: list[LogRecord], cuts: list[int], reopen: bool, steps: list[int], history: int
) -> None:
    """Law 1 and law 3: same states, same slice bytes, also when the worker dies in between.

    Nor does it matter when the steps of sealing are made.
    """
    whole, pieces = MemoryStore(), MemoryStore()
    by = rules(history_events=history)
    at_once, many = opened(whole, by), opened(pieces, by)
    at_once.apply(log)
    bounds = [0, *sorted(cuts), len(log)]
    for (begin, end), settled in zip(pairwise(bounds), chain(steps, repeat(0)), strict=False):
        many.apply(log[begin:end])
        for _ in range(settled):
            many.make_part()
        assert states(pieces.pairs, HISTORY) == expected_states(log[:end], HISTORY)
        if reopen:
            many = opened(pieces, by)
    assert states(pieces.pairs, HISTORY) == states(whole.pairs, HISTORY)
    ours, theirs = list(delivered(many)), list(delivered(at_once))
    for topic in ("windows", "dead-letters"):
        assert [row for row in ours if row.topic == topic] == [
            row for row in theirs if row.topic == topic
        ]


@given(log=logs())
def test_a_users_state_is_the_fold_of_that_users_accepted_events(log: list[LogRecord]) -> None:
    store = MemoryStore()
    opened(store).apply(log)
    assert states(store.pairs, HISTORY) == expected_states(log, HISTORY)


@given(log=logs(), history=cuts_of_history)
def test_windows_tile_the_log_and_hold_every_accepted_event_once(
    log: list[LogRecord], history: int
) -> None:
    partition = opened(MemoryStore(), rules(history_events=history))
    partition.apply(log)
    partition.close_until(at(10**6) // PERIOD_MS)
    runs = slices(delivered(partition))
    edge, place = 0, (-1, 0)
    for closed, parts in runs:
        assert closed.start == edge
        assert closed.place > place
        assert all(part.place == closed.place for part in parts)
        assert closed.events == sum(len(raw.offsets) for part in parts for raw in part.examples)
        edge, place = closed.end, closed.place
    assert edge == partition.applied
    expected = {record.offset for record in log if record.value != b"{oops"}
    assert set(targets(runs)) == expected
    assert sum(closed.rejected for closed, _ in runs) == len(log) - len(expected)


@given(log=logs(), again=st.integers(0, 40))
def test_a_record_below_the_stored_offset_is_not_applied_again(
    log: list[LogRecord], again: int
) -> None:
    """Law 2, also by a worker that has just been started."""
    store = MemoryStore()
    opened(store).apply(log)
    before = dict(store.pairs)
    batch = opened(store).apply(log[:again])
    assert batch.duplicates == len(log[:again])
    assert not batch
    assert store.pairs == before


def test_state_and_offset_are_written_in_one_batch() -> None:
    class OneWrite(MemoryStore):
        batches = 0

        def write(self, *args, **options) -> None:  # type: ignore[no-untyped-def]
            self.batches += 1
            super().write(*args, **options)

    store = OneWrite()
    partition = opened(store)
    store.batches = 0
    partition.apply([accepted(0, 1, 1, at(0)), rejected(1, at(0)), accepted(2, 1, 1, at(1))])
    assert store.batches == 1
    assert msgspec.msgpack.decode(store.pairs[META_KEY], type=PartitionMeta).applied == 3


def test_context_is_the_last_entries_before_the_slice() -> None:
    partition = opened(MemoryStore())
    partition.apply([accepted(offset, 1, offset, at(0)) for offset in range(3)])
    partition.apply([accepted(offset, 1, offset, at(1)) for offset in range(3, 6)])
    partition.apply([accepted(6, 1, 6, at(2)), accepted(7, 2, 7, at(3))])
    runs = slices(delivered(partition))
    shown = [
        [([e.item for e in d.context], [e.item for e in d.targets])]
        for _, parts in runs
        for part in parts
        for d in [decode_example(raw, part.actions) for raw in part.examples]
    ]
    assert shown == [[([], [0, 1, 2])], [([0, 1, 2], [3, 4, 5])], [([1, 2, 3, 4, 5], [6])]]


def test_very_many_events_of_one_user_make_examples_each_the_context_of_the_next() -> None:
    partition = opened(MemoryStore(), rules(max_targets=4, history_length=5, stretch_events=20))
    for offset in range(10):
        partition.apply([accepted(offset, 1, offset, at(0))])
    partition.apply([accepted(10, 1, 10, at(1))])
    ((closed, (part,)),) = slices(delivered(partition))
    examples = [decode_example(raw, part.actions) for raw in part.examples]
    assert closed.events == 10
    assert [[e.item for e in example.targets] for example in examples] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert [[e.item for e in example.context] for example in examples] == [
        [],
        [0, 1, 2, 3],
        [3, 4, 5, 6, 7],
    ]


def test_stored_sequences_stay_short_however_many_events_come() -> None:
    store = MemoryStore()
    partition = opened(store)
    for offset in range(300):
        partition.apply([accepted(offset, 1, offset, at(offset / 50))])
    longest = states(store.pairs, length=10**6)[1]
    waiting = 2 * rules().stretch_events  # the open stretch, and one that is sealed
    assert len(longest.history) <= rules().history_length + waiting
    assert longest.accepted == 300


def test_rejected_records_become_dead_letters_with_their_bytes_and_place() -> None:
    partition = opened(MemoryStore())
    bad = LogRecord(5, at(0), b"\x00key", b"\xff not json", [("trace", b"1")])
    batch = partition.apply([accepted(4, 1, 1, at(0)), bad, accepted(6, 1, 2, at(0))])
    assert batch.rejected == {"not_json": 1}
    assert partition.applied == 7
    (row,) = delivered(partition)
    assert (row.topic, row.key, row.value) == ("dead-letters", b"\x00key", b"\xff not json")
    headers = dict(row.headers)
    assert headers.pop("dead_detail")
    assert headers == {
        "trace": b"1",
        "dead_topic": b"t.events",
        "dead_partition": b"0",
        "dead_offset": b"5",
        "dead_timestamp": str(at(0)).encode(),
        "dead_reason": b"not_json",
    }


def test_a_monstrous_value_is_cut_and_says_so() -> None:
    partition = opened(MemoryStore())
    partition.apply([LogRecord(0, at(0), b"7", b"x" * (8 * 1024 * 1024))])
    (row,) = delivered(partition)
    assert row.value is not None
    assert len(row.value) < 8 * 1024 * 1024
    assert dict(row.headers)["dead_cut_from"] == str(8 * 1024 * 1024 + 1).encode()


def test_integer_and_text_ids_are_two_users() -> None:
    store = MemoryStore()
    opened(store).apply([accepted(0, 7, 1, at(0)), accepted(1, "7", 2, at(0))])
    state = states(store.pairs, HISTORY)
    assert [state[user].history[0].item for user in (7, "7")] == [1, 2]


def test_an_unknown_action_is_rejected_rather_than_folded() -> None:
    store = MemoryStore()
    value = json.dumps({"id": "a", "type": "fly", "time": 1, "user_id": 7, "item_id": 1}).encode()
    batch = opened(store).apply([rejected(0, at(0), value)])
    assert batch.rejected == {"unknown_type": 1}
    assert states(store.pairs, HISTORY) == {}
