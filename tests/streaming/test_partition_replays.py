"""Law 3 over whole histories: workers that idle, die and mix partitions leave the same windows."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.window import encode_slice_record
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import (
    START_MS,
    LogRecord,
    Run,
    accepted,
    delivered,
    opened,
    rejected,
    slices,
    targets,
)

GRACE_MS = 100
_gaps = st.lists(st.sampled_from([0, 0, 10, 400, 1000, 3500]), max_size=30)


@st.composite
def logs(draw: st.DrawFn, number: int = 0) -> list[LogRecord]:
    """A partition's log: time never goes back, offsets have holes, some records are bad."""
    offset, now, made = 0, START_MS, []
    for gap in draw(_gaps):
        offset += draw(st.sampled_from([1, 1, 1, 3]))
        now += gap
        user = draw(st.sampled_from([1, 1, 1, "1", "b"]))
        bad = draw(st.integers(0, 9)) == 0
        record = rejected(offset, now) if bad else accepted(offset, user, offset % 6, now)
        record.partition = number
        made.append(record)
    return made


def idle(partition: Partition, broker_ms: int) -> None:
    """What the worker's tick does with a partition that has nothing more to read."""
    label = partition.overdue_label(broker_ms, GRACE_MS)
    if label is not None:
        partition.close_until(label)


def with_events(runs: list[Run]) -> list[list[bytes]]:
    """The bytes of every slice that holds a record."""
    return [
        [encode_slice_record(record) for record in (*parts, closed)]
        for closed, parts in runs
        if closed.events or closed.rejected
    ]


@given(log=logs(), data=st.data())
def test_a_replay_gives_the_same_bytes_however_a_partition_idled(
    log: list[LogRecord], data: st.DataObject
) -> None:
    """The first worker met quiet moments and died in between; the second reads it all at once."""
    store, end_ms = MemoryStore(), START_MS + 10**7
    first = opened(store)
    for record, after in pairwise([*log, None]):
        assert record is not None
        first.apply([record])
        quiet_until = after.timestamp if after else end_ms
        if data.draw(st.booleans()):
            idle(first, data.draw(st.integers(record.timestamp, quiet_until)))
        if data.draw(st.booleans()):
            first = opened(store)
    idle(first, end_ms)
    replayed = opened(MemoryStore())
    replayed.apply(log)
    idle(replayed, end_ms)
    assert with_events(slices(delivered(replayed))) == with_events(slices(delivered(first)))


@given(log=logs(), wrong=st.lists(st.integers(START_MS, START_MS + 10**6), max_size=30))
def test_whatever_the_clock_says_windows_tile(log: list[LogRecord], wrong: list[int]) -> None:
    """A clock that lies may move labels; never an event out of its only slice."""
    partition = opened(MemoryStore())
    for at, record in enumerate(log):
        partition.apply([record])
        if at < len(wrong):
            idle(partition, wrong[at])
    idle(partition, START_MS + 10**7)
    runs = slices(delivered(partition))
    assert [closed.start for closed, _ in runs] == [0, *(closed.end for closed, _ in runs)][:-1]
    assert all(one.label < next_one.label for (one, _), (next_one, _) in pairwise(runs))
    good = [record.offset for record in log if record.value != b"{oops"]
    assert sorted(targets(runs)) == good


_pieces = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 8)), max_size=20)


@given(data=st.data(), pieces=_pieces)
def test_any_interleaving_of_partitions_gives_each_its_own_slices(
    data: st.DataObject, pieces: list[tuple[int, int]]
) -> None:
    sources = [data.draw(logs(number)) for number in range(3)]
    mixed = [opened(MemoryStore(), partition=number) for number in range(3)]
    done = [0, 0, 0]
    for number, size in [*pieces, *((number, 10**6) for number in range(3))]:
        mixed[number].apply(sources[number][done[number] : done[number] + size])
        done[number] += size
    for number, log in enumerate(sources):
        alone = opened(MemoryStore(), partition=number)
        alone.apply(log)
        assert with_events(slices(delivered(mixed[number]))) == with_events(
            slices(delivered(alone))
        )
        assert mixed[number].applied == alone.applied
