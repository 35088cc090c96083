"""Labels, slices and examples, as the fold cuts them."""

from __future__ import annotations

import hashlib

import msgspec

from everfresh.contracts.window import CUT_FORMAT, FORMAT, encode_slice_record
from everfresh.streaming.fold.rows import NO_LABEL
from everfresh.streaming.fold.windows import HISTORY_AFTER_MS
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.key_layout import SLICE_HEAD_KEY
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import (
    PERIOD_MS,
    START_MS,
    LogRecord,
    accepted,
    delivered,
    opened,
    rejected,
    rules,
    slices,
)

LABEL = START_MS // PERIOD_MS


def at(periods: float) -> int:
    return START_MS + int(periods * PERIOD_MS)


def test_a_label_is_the_number_of_the_period_of_append_time() -> None:
    partition = opened(MemoryStore())
    partition.apply([accepted(0, 1, 1, at(0.9)), accepted(1, 1, 1, at(1))])
    ((closed, _),) = slices(delivered(partition))
    assert (closed.label, closed.start, closed.end) == (LABEL, 0, 1)


def test_labels_do_not_reverse_when_append_time_does() -> None:
    partition = opened(MemoryStore())
    partition.apply([accepted(0, 1, 1, at(2)), accepted(1, 1, 1, at(0)), accepted(2, 1, 1, at(3))])
    ((closed, _),) = slices(delivered(partition))
    assert (closed.label, closed.end) == (LABEL + 2, 2)


def test_a_record_after_its_period_was_closed_goes_to_the_next_label() -> None:
    partition = opened(MemoryStore())
    partition.apply([accepted(0, 1, 1, at(0))])
    partition.close_until(LABEL)
    partition.apply([accepted(1, 1, 1, at(0.5)), accepted(2, 1, 1, at(5))])
    runs = slices(delivered(partition))
    assert [(one.label, one.start, one.end) for one, _ in runs] == [
        (LABEL, 0, 1),
        (LABEL + 1, 1, 2),
    ]


def test_late_records_are_counted() -> None:
    partition = opened(MemoryStore())
    assert partition.apply([accepted(0, 1, 1, at(0)), accepted(1, 1, 1, at(1))]).late == 0
    partition.close_until(LABEL + 2)
    late = [accepted(2, 1, 1, at(1.5)), rejected(3, at(2.9)), accepted(4, 1, 1, at(3))]
    assert partition.apply(late).late == 2
    assert partition.apply([accepted(5, 1, 1, at(3.1)), accepted(6, 1, 1, at(9))]).late == 0


def test_an_idle_partition_closes_its_period_after_the_grace_and_only_once() -> None:
    partition = opened(MemoryStore())
    partition.apply([accepted(0, 1, 1, at(0))])
    assert partition.overdue_label(at(1) + 199, grace_ms=200) is None
    label = partition.overdue_label(at(1) + 200, grace_ms=200)
    assert label == LABEL
    partition.close_until(label)
    assert partition.overdue_label(at(1) + 900, grace_ms=200) is None
    ((closed, _),) = slices(delivered(partition))
    assert (closed.label, closed.events) == (LABEL, 1)


def test_several_empty_periods_need_only_the_last_one() -> None:
    partition = opened(MemoryStore())
    partition.apply([accepted(0, 1, 1, at(0))])
    label = partition.overdue_label(at(9.5), grace_ms=0)
    assert label == LABEL + 8
    partition.close_until(label)
    runs = slices(delivered(partition))
    assert [(one.label, one.start, one.end, one.events) for one, _ in runs] == [
        (LABEL, 0, 1, 1),
        (LABEL + 8, 1, 1, 0),
    ]


def test_a_period_that_is_still_open_is_not_closed_by_an_earlier_one() -> None:
    partition = opened(MemoryStore())
    partition.apply([accepted(0, 1, 1, at(3))])
    assert partition.overdue_label(at(2.5), grace_ms=0) is None
    assert not partition.close_until(LABEL + 1)
    assert slices(delivered(partition)) == []


def test_a_slice_of_rejected_records_alone_still_tiles() -> None:
    partition = opened(MemoryStore())
    partition.apply([rejected(0, at(0)), rejected(1, at(0)), accepted(2, 1, 1, at(1))])
    ((closed, parts),) = slices(delivered(partition))
    assert (closed.start, closed.end, closed.events, closed.rejected) == (0, 2, 0, 2)
    assert parts == []


def test_the_digest_is_that_of_the_encoded_parts() -> None:
    partition = opened(MemoryStore(), rules(part_bytes=1024, max_targets=50))
    users = [accepted(offset, offset % 40, offset, at(0)) for offset in range(200)]
    partition.apply([*users, accepted(200, 1, 1, at(1))])
    ((closed, parts),) = slices(delivered(partition))
    assert len(parts) > 3
    raw = b"".join(encode_slice_record(part) for part in parts)
    assert closed.digest == hashlib.sha256(raw).hexdigest()


def test_examples_stand_in_the_order_of_their_first_target() -> None:
    partition = opened(MemoryStore())
    users = ["c", "a", "b", "a", "c"]
    partition.apply([accepted(n, user, n, at(0)) for n, user in enumerate(users)])
    partition.apply([accepted(9, "z", 9, at(1))])
    ((_, (part,)),) = slices(delivered(partition))
    assert [example.user for example in part.examples] == ["c", "a", "b"]


def test_no_label_stands_below_every_label() -> None:
    assert NO_LABEL < 0


def history(offset: int, at_ms: int) -> LogRecord:
    """Of another user each, an hour and more old."""
    return accepted(offset, offset, 1, at_ms, ago_ms=HISTORY_AFTER_MS + 10**6)


def places(partition: Partition) -> list[tuple[int, int, int, int]]:
    """Label, cut, and the range of offsets of each closed slice."""
    runs = slices(delivered(partition))
    return [(closed.label - LABEL, closed.cut, closed.start, closed.end) for closed, _ in runs]


def test_history_is_cut_by_its_number_and_what_follows_by_the_clock_again() -> None:
    partition = opened(MemoryStore(), rules(history_events=2))
    partition.apply([history(offset, at(0.1)) for offset in range(5)])
    partition.apply([accepted(5, 5, 1, at(1)), accepted(6, 6, 1, at(2)), accepted(7, 7, 1, at(3))])
    assert places(partition) == [
        (0, 0, 0, 2),
        (0, 1, 2, 4),
        (0, 2, 4, 5),
        (1, 0, 5, 6),
        (2, 0, 6, 7),
    ]


def test_only_a_slice_that_an_older_trainer_would_misread_has_the_newer_format() -> None:
    partition = opened(MemoryStore(), rules(history_events=2))
    partition.apply([history(offset, at(0.1)) for offset in range(5)])
    partition.apply([accepted(5, 5, 1, at(1)), accepted(6, 6, 1, at(2))])
    formats = [(closed.cut, closed.format) for closed, _ in slices(delivered(partition))]
    assert formats == [(0, FORMAT), (1, CUT_FORMAT), (2, CUT_FORMAT), (0, FORMAT)]


def test_events_that_come_as_they_happen_are_cut_by_the_clock_alone() -> None:
    partition = opened(MemoryStore(), rules(history_events=2))
    partition.apply([accepted(offset, 1, 1, at(0.1)) for offset in range(9)])
    partition.apply([accepted(9, 1, 1, at(1))])
    assert places(partition) == [(0, 0, 0, 9)]


def test_history_among_other_events_is_cut_once_it_is_half_of_them() -> None:
    partition = opened(MemoryStore(), rules(history_events=2))
    # After 2 events none is history, after 4 two are.
    partition.apply([accepted(0, 0, 1, at(0)), accepted(1, 1, 1, at(0))])
    partition.apply([history(offset, at(0.1)) for offset in range(2, 5)])
    partition.apply([accepted(5, 1, 1, at(1))])
    assert places(partition) == [(0, 0, 0, 4), (0, 1, 4, 5)]


def test_history_that_ends_with_a_cut_leaves_an_empty_slice_that_ends_its_period() -> None:
    partition = opened(MemoryStore(), rules(history_events=2))
    partition.apply([history(offset, at(0.1)) for offset in range(2)])
    label = partition.overdue_label(at(1.5), grace_ms=0)
    assert label == LABEL
    partition.close_until(label)
    assert places(partition) == [(0, 0, 0, 2), (0, 1, 2, 2)]
    assert partition.overdue_label(at(1.9), grace_ms=0) is None


def test_cuts_of_history_are_no_late_records() -> None:
    partition = opened(MemoryStore(), rules(history_events=2))
    assert partition.apply([history(offset, at(0.1)) for offset in range(9)]).late == 0


def test_an_earlier_builds_open_slice_goes_on_as_it_was_begun() -> None:
    """Its head has none of the fields of history."""
    store = MemoryStore()
    by = rules(history_events=2)
    opened(store, by).apply([history(0, at(0))])
    head = msgspec.msgpack.decode(store.pairs[SLICE_HEAD_KEY])
    store.pairs[SLICE_HEAD_KEY] = msgspec.msgpack.encode(head[:10])
    partition = opened(store, by)
    partition.apply([history(offset, at(0.5)) for offset in range(1, 4)])
    partition.apply([history(offset, at(1.5)) for offset in range(4, 7)])
    assert places(partition) == [(0, 0, 0, 4), (1, 0, 4, 6)]
