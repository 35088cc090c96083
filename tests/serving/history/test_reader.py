"""The user cache: whatever is kept and extended, the answer is what reading everything gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st

from everfresh.contracts.sequence import HEADER_BYTES, Interaction, continued_at, skip_entries
from everfresh.model.inference.retrieval import Query, best_items
from everfresh.serving.history.reader import CachedHistoryReader
from tests.serving.history.user_log import CAPACITY, NO_CACHE, V1, V2, UserLog, assert_same
from tests.serving.replica_in_memory import ITEMS

pieces = st.lists(
    # No items: the worker only drops old events, as it does when it writes a value out.
    st.tuples(st.lists(st.integers(1, 31), max_size=6), st.integers(0, 4)),
    min_size=1,
    max_size=12,
)


@rules(max_examples=60, deadline=None)
@given(pieces=pieces, length=st.integers(1, 12), ahead=st.lists(st.integers(1, 31), max_size=9))
def test_a_cached_answer_equals_an_uncached_one(
    pieces: list[tuple[list[int], int]], length: int, ahead: list[int]
) -> None:
    log = UserLog(length)
    cached, uncached = CachedHistoryReader(log, 1 << 20), CachedHistoryReader(log, NO_CACHE)
    events = [Interaction(ITEMS[item - 1], "view", 9_999_999_999 + item) for item in ahead]
    log.append([1])
    for items, spare in pieces:
        log.append(items, spare)
        for asked in ([], events, []):
            assert_same(cached.read(V1, 1, asked), uncached.read(V1, 1, asked))


def test_a_history_that_fits_is_read_as_the_network_reads_it() -> None:
    log = UserLog(20)
    log.append(list(range(1, CAPACITY + 1)))
    state = log.read(1)
    assert state is not None
    items, scores = V1.recommender.recommend(state.history, 5)
    read = CachedHistoryReader(log, 1 << 20).read(V1, 1)
    assert read.vector is not None
    ours = best_items(V1.recommender, Query(read.vector, read.rows), 5, np.zeros(0, np.int64))
    assert ours[0] == items
    assert ours[1] == pytest.approx(scores, abs=1e-4)


def test_a_history_is_extended_by_new_events_alone_until_the_window_jumps() -> None:
    log = UserLog(20)
    histories = CachedHistoryReader(log, 1 << 20)
    log.append([1])
    histories.read(V1, 1)
    for item in range(2, CAPACITY + 1):
        log.append([item])
        histories.read(V1, 1)
    assert (histories.figures().built, histories.figures().extended) == (1, CAPACITY - 1)
    log.append([9])
    histories.read(V1, 1)
    assert histories.figures().built == 2, "the window moved on"
    histories.read(V1, 1)
    assert histories.figures().hits == 1


def test_old_events_that_the_worker_drops_change_nothing() -> None:
    log = UserLog(CAPACITY)
    histories = CachedHistoryReader(log, 1 << 20)
    log.append(list(range(1, CAPACITY + 4)), spare=3)
    before = histories.read(V1, 1)
    log.append([], spare=0)
    after = histories.read(V1, 1)
    assert before.vector is not None
    assert after.vector is not None
    assert np.array_equal(before.vector, after.vector)
    assert (histories.figures().built, histories.figures().hits) == (1, 1)


def test_what_another_version_made_is_refused_and_read_anew() -> None:
    log = UserLog(20)
    log.append([1, 2, 3])
    histories = CachedHistoryReader(log, 1 << 20)
    histories.read(V1, 1)
    read = histories.read(V2, 1)
    assert_same(read, CachedHistoryReader(log, NO_CACHE).read(V2, 1))
    assert histories.figures().built == 2


def test_a_state_that_was_made_anew_is_read_anew() -> None:
    log = UserLog(20)
    log.append([1, 2, 3, 4])
    histories = CachedHistoryReader(log, 1 << 20)
    histories.read(V1, 1)
    other = UserLog(20)
    other.append([1, 2, 9, 4, 5])
    log.raw = other.raw
    assert_same(histories.read(V1, 1), CachedHistoryReader(log, NO_CACHE).read(V1, 1))
    assert histories.figures().built == 2


def test_the_cache_stays_within_its_bytes_and_forgets_who_was_asked_for_longest_ago() -> None:
    log = UserLog(20)
    log.append([1, 2, 3])
    single = CachedHistoryReader(log, 1 << 20)
    single.read(V1, 0)
    room = 3 * single.figures().bytes + 10
    histories = CachedHistoryReader(log, room)
    for user in (1, 2, 3, 1, 4):
        histories.read(V1, user)
        assert histories.figures().bytes <= room
    assert histories.figures().users == 3
    before = histories.figures().built
    histories.read(V1, 1)
    assert histories.figures().built == before
    histories.read(V1, 2)
    assert histories.figures().built == before + 1


def test_with_no_memory_nothing_is_kept() -> None:
    log = UserLog(20)
    log.append([1, 2, 3])
    histories = CachedHistoryReader(log, NO_CACHE)
    histories.read(V1, 1)
    assert (histories.figures().users, histories.figures().bytes) == (0, 0)


def test_a_sequence_continues_another_only_byte_for_byte() -> None:
    log = UserLog(4)
    log.append([1, 2, 3])
    old = log.raw or b""
    assert continued_at(old, old) == len(old)
    log.append([4, 5])
    new = log.raw or b""
    at = continued_at(old, new)
    assert at is not None
    assert new[at:] == new[skip_entries(new, HEADER_BYTES, 2) :]
    assert continued_at(new, old) is None
    changed = bytearray(new)
    changed[HEADER_BYTES + 3] ^= 1
    assert continued_at(old, bytes(changed)) is None
    log.append([6, 7, 8, 9, 10, 11])
    assert continued_at(old, log.raw or b"") is None, "nothing of the old one is left"
