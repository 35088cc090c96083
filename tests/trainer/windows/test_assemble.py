from __future__ import annotations

import itertools
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everfresh.contracts.errors import WindowGap
from everfresh.contracts.window import (
    SliceClosed,
    SliceRecord,
    TrainingWindow,
    encode_slice_record,
)
from everfresh.trainer.windows.assemble import Assembler, Progress
from tests.trainer.logs import Log, example, make_log, run

LABELS = [3, 4, 6, 7, 9]


def assemble(log: Log, order: list[int], progress: Progress | None = None) -> list[TrainingWindow]:
    """Feed one record of the named partition after the other, then what is left."""
    progress = progress or Progress()
    assembler = Assembler(log, progress)
    places = {partition: progress.reads.get(partition, 0) for partition in log}
    rest = [partition for partition, records in log.items() for _ in records]
    windows = []
    for partition in [*order, *rest]:
        if places[partition] < len(log[partition]):
            assembler.add(partition, places[partition], log[partition][places[partition]])
            places[partition] += 1
        while window := assembler.take():
            windows.append(window)
    return windows


@settings(max_examples=60, deadline=None)
@given(order=st.lists(st.integers(0, 2), max_size=60))
def test_any_interleaving_of_partitions_gives_the_same_windows(order: list[int]) -> None:
    log = make_log(3, LABELS)
    windows = assemble(log, order)
    assert windows == assemble(log, [])
    assert [window.label for window in windows] == LABELS
    offsets: dict[int, list[tuple[int, int]]] = {}
    for window in windows:
        for partition, span in window.ranges.items():
            offsets.setdefault(partition, []).append(span)
    for spans in offsets.values():
        assert spans[0][0] == 0
        assert all(left[1] == right[0] for left, right in itertools.pairwise(spans))


@settings(max_examples=60, deadline=None)
@given(order=st.lists(st.integers(0, 2), max_size=60), trained=st.integers(0, len(LABELS) - 1))
def test_a_restart_reads_again_exactly_what_was_not_trained(order: list[int], trained: int) -> None:
    log = make_log(3, LABELS)
    windows = assemble(log, [])
    progress = Progress()
    for window in windows[:trained]:
        progress = progress.after(window)
    assert assemble(log, order, progress) == windows[trained:]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_run_written_again_whole_or_in_part_changes_nothing(data: st.DataObject) -> None:
    log = make_log(2, LABELS)
    doubled: Log = {}
    for partition, records in log.items():
        ends = [n + 1 for n, record in enumerate(records) if isinstance(record, SliceClosed)]
        crash = data.draw(st.integers(1, len(records)))
        begin = max(end for end in [0, *ends] if end < crash or end == 0)
        # Killed after `crash` records; the unacknowledged are written again from a run's head.
        head = data.draw(st.sampled_from([end for end in [0, *ends] if end <= begin]))
        doubled[partition] = [*records[:crash], *records[head:]]
    plain = [msgspec.structs.replace(window, next_read={}) for window in assemble(log, [])]
    again = [msgspec.structs.replace(window, next_read={}) for window in assemble(doubled, [])]
    assert again == plain


def test_a_window_waits_until_every_partition_closed_its_label_or_a_later_one() -> None:
    assembler = Assembler([0, 1], Progress())
    feed(assembler, 0, run(0, 5, 0, [[example(1, [1], 0)]]))
    assert assembler.take() is None
    assert assembler.backlog == 0
    feed(assembler, 1, run(1, 8, 0, [[example(2, [2], 0)]]), begin=0)
    window = assembler.take()
    assert window is not None
    assert (window.label, window.ranges, window.next_read) == (5, {0: (0, 1)}, {0: 2})
    assert assembler.take() is None


def test_a_window_without_events_is_given_out_and_moves_the_positions() -> None:
    assembler = Assembler([0], Progress())
    feed(assembler, 0, run(0, 2, 0, [], rejected=3))
    window = assembler.take()
    assert window is not None
    assert (window.events, window.rejected, window.ranges) == (0, 3, {0: (0, 3)})
    assert Progress().after(window) == Progress(2, {0: 3}, {0: 1})


def test_a_gap_raises_and_names_partition_expected_and_found() -> None:
    assembler = Assembler([0], Progress(4, {0: 10}, {0: 7}))
    with pytest.raises(WindowGap, match=r"partition 0, label 5: .*offset 10, found one from 12"):
        feed(assembler, 0, run(0, 5, 12, [[example(1, [1], 12)]]))


def test_an_overlap_by_a_label_closed_before_raises() -> None:
    assembler = Assembler([0], Progress())
    feed(assembler, 0, run(0, 5, 0, [[example(1, [1], 0)]]))
    with pytest.raises(WindowGap, match="found it again up to 2"):
        feed(assembler, 0, run(0, 5, 0, [[example(1, [1, 2], 0)]]), begin=2)


def test_a_late_part_of_a_closed_label_does_not_disturb_the_open_run() -> None:
    assembler = Assembler([0], Progress())
    before = run(0, 5, 0, [[example(1, [1], 0)]])
    after = run(0, 6, 1, [[example(1, [2], 1)], [example(2, [3], 2)]])
    feed(assembler, 0, [*before, after[0], before[0], *after[1:]])
    assert [window.label for window in (assembler.take(), assembler.take()) if window] == [5, 6]


def test_a_missing_part_raises() -> None:
    records = run(0, 5, 0, [[example(1, [1], 0)], [example(2, [2], 1)]])
    with pytest.raises(WindowGap, match=r"expected parts 0 to 1, found \[1\]"):
        feed(Assembler([0], Progress(1, {0: 0}, {})), 0, records[1:])


def test_parts_of_another_run_raise_by_their_digest() -> None:
    records = run(0, 5, 0, [[example(1, [1], 0)]])
    foreign = run(0, 5, 0, [[example(1, [9], 0)]])
    with pytest.raises(WindowGap, match="digest"):
        feed(Assembler([0], Progress()), 0, [foreign[0], records[1]])


def closing(label: int, start: int, end: int, **changes: Any) -> SliceClosed:
    (empty,) = run(0, label, start, [], rejected=end - start)
    assert isinstance(empty, SliceClosed)
    return msgspec.structs.replace(empty, **changes)


FOREIGN_SLICES: dict[str, list[SliceRecord]] = {
    "a part that changes the run": [run(0, 6, 1, [[example(8, [8], 1)]])[0]],
    "a part that breaks the run off": [run(0, 9, 1, [[example(8, [8], 1)]])[0]],
    "a slice of another partition": [msgspec.structs.replace(closing(6, 1, 1), partition=1)],
    "a slice from elsewhere": [closing(6, 70, 80)],
    "a slice that ends before it begins": [msgspec.structs.replace(closing(6, 1, 1), end=0)],
    "an empty slice that takes the label": [closing(6, 1, 1)],
    "an empty slice that takes the offsets": [closing(6, 1, 40)],
    "a label of the far future": [closing(2**62, 1, 1)],
    "as many parts as there are numbers": [closing(6, 1, 3, parts=2**63 - 1)],
    "another format": [closing(6, 1, 1, format=99)],
    "a wrong digest": [closing(6, 1, 1, digest="\x1b[2J")],
    "events outside the slice": run(0, 6, 1, [[example(8, [8], 500)]]),
}


@pytest.mark.parametrize("name", FOREIGN_SLICES)
def test_slices_that_a_stranger_wrote_are_named_and_can_be_left_out(name: str) -> None:
    first = run(0, 5, 0, [[example(1, [1], 0)]])
    own = run(0, 6, 1, [[example(1, [2], 1)], [example(2, [3], 2)]])
    foreign = FOREIGN_SLICES[name]
    # After the first of two parts: a stranger's record may come at any time.
    records = [*first, own[0], *foreign, *own[1:], *run(0, 7, 3, [])]
    strange = range(len(first) + 1, len(first) + 1 + len(foreign))
    with pytest.raises(WindowGap) as raised:
        feed(Assembler([0], Progress()), 0, records)
    assert str(raised.value).isprintable()
    assert "leave out, by trainer.leave_out" in str(raised.value)
    doubted = re.findall(r"\b0:(\d+)", str(raised.value))
    assert {str(offset) for offset in strange} & set(doubted)
    assembler = Assembler([0], Progress())
    for offset, record in enumerate(records):
        if offset not in strange:
            assembler.add(0, offset, record)
    taken = [window.ranges for window in (assembler.take(), assembler.take()) if window]
    assert taken == [{0: (0, 1)}, {0: (1, 3)}]


def test_a_slice_that_fits_and_cannot_be_read_is_named() -> None:
    unreadable = msgspec.structs.replace(example(1, [1], 0), targets=b"\x05")
    assembler = Assembler([0], Progress())
    feed(assembler, 0, run(0, 5, 0, [[unreadable]]))
    with pytest.raises(WindowGap, match="window 5 has slices that fit and cannot be read"):
        assembler.take()


def test_a_first_run_whose_head_retention_took_is_passed_over() -> None:
    assembler = Assembler([0], Progress())
    first = run(0, 5, 40, [[example(1, [1], 40)], [example(2, [2], 41)]])
    feed(assembler, 0, [*first[1:], *run(0, 6, 42, [[example(1, [3], 42)]])])
    window = assembler.take()
    assert window is not None
    assert (window.label, window.ranges) == (6, {0: (42, 43)})


def test_a_slice_of_another_partition_or_format_is_refused() -> None:
    with pytest.raises(WindowGap, match="found one of 1"):
        feed(Assembler([0, 1], Progress()), 0, run(1, 5, 0, []))
    with pytest.raises(WindowGap, match="appeared after"):
        feed(Assembler([0], Progress()), 1, run(1, 5, 0, []))
    closed = run(0, 5, 0, [])[-1]
    with pytest.raises(WindowGap, match="format 1 or 2 expected, found 9; a newer release"):
        feed(Assembler([0], Progress()), 0, [msgspec.structs.replace(closed, format=9)])


def test_a_slice_that_only_a_newer_release_reads_stops_the_trainer_and_can_be_left_out() -> None:
    """What a source makes of a record that it cannot decode and whose format is newer."""
    unreadable = SliceClosed(9, 0, 0, 0, 0, 0, 0, 0, "")
    first = run(0, 5, 0, [[example(1, [1], 0)]])
    assembler = Assembler([0], Progress())
    feed(assembler, 0, first)
    at = len(first)
    with pytest.raises(WindowGap, match=f"found 9; a newer release .*0:{at} .*leave out"):
        assembler.add(0, at, unreadable)
    feed(assembler, 0, run(0, 6, 1, [[example(1, [2], 1)]]), at + 1)
    assert assembler.take() is not None


def test_held_counts_the_events_that_wait() -> None:
    log = make_log(2, LABELS)
    assembler = Assembler(log, Progress())
    for partition, records in log.items():
        feed(assembler, partition, records)
    total = sum(
        record.events
        for records in log.values()
        for record in records
        if isinstance(record, SliceClosed)
    )
    assert (assembler.held, assembler.backlog) == (total, len(LABELS))
    first = assembler.take()
    assert first is not None
    assert (assembler.held, assembler.backlog) == (total - first.events, len(LABELS) - 1)


def feed(assembler: Assembler, partition: int, records: list[SliceRecord], begin: int = 0) -> None:
    for offset, record in enumerate(records, begin):
        assembler.add(partition, offset, record)


def cut_log() -> Log:
    """Label 3 cut twice in partition 0, once in partition 1, and label 4 in both."""
    pieces = {0: [(3, 0), (3, 1), (3, 2), (4, 0)], 1: [(3, 0), (3, 1), (4, 0)]}
    return {
        partition: [
            record
            for at, (label, cut) in enumerate(places)
            for record in run(
                partition, label, 2 * at, [[example(partition, [1, 2], 2 * at)]], cut=cut
            )
        ]
        for partition, places in pieces.items()
    }


@settings(max_examples=30, deadline=None)
@given(order=st.lists(st.integers(0, 1), max_size=20), trained=st.integers(0, 3))
def test_a_label_that_history_is_cut_in_makes_several_windows(
    order: list[int], trained: int
) -> None:
    """Also for a trainer that goes on in the middle of the label."""
    log = cut_log()
    windows = assemble(log, order)
    assert [window.place for window in windows] == [(3, 0), (3, 1), (3, 2), (4, 0)]
    assert [window.ranges for window in windows] == [
        {0: (0, 2), 1: (0, 2)},
        {0: (2, 4), 1: (2, 4)},
        {0: (4, 6)},
        {0: (6, 8), 1: (4, 6)},
    ]
    progress = Progress()
    for window in windows[:trained]:
        progress = progress.after(window)
    assert assemble(log, order, progress) == windows[trained:]


def test_a_slice_that_is_not_cut_has_the_bytes_that_it_had_before_there_were_cuts() -> None:
    part, closed = run(0, 3, 0, [[example(0, [1], 0)]])
    assert b"cut" not in encode_slice_record(part) + encode_slice_record(closed)
    assert b"cut" in encode_slice_record(msgspec.structs.replace(closed, cut=1))
