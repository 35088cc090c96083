"""The user cache: whatever is kept and extended, the answer is what reading everything gives."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st

from everfresh.adapters.memory import ManualClock, MemoryWeightStore
from everfresh.adapters.weights.rollback import roll_back
from everfresh.contracts.errors import StateError
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.sequence import (
    HEADER_BYTES,
    Interaction,
    StoredSequence,
    UserState,
    continued_at,
    encode_entry,
    pack_sequence,
    skip_entries,
    unpack_header,
)
from everfresh.serving.history.history import Past, PastReader
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import Served, VersionHolder
from tests.serving.made import ACTIONS, ITEMS, MODEL, PARTITION, publish, recommender

STORE = MemoryWeightStore()
CAPACITY = MODEL.max_length - 1
NOTHING = 0


def served(version: int) -> Served:
    if version not in STORE.versions():
        publish(STORE, version, epoch=version)
    found = Pointer(0, version)
    manifest = STORE.manifest(version)
    return Served(found.version, found.epoch, recommender(version), manifest, 0)


V1, V2, V3 = served(1), served(2), served(3)


class Log:
    """One user's state as the worker writes it: appended to, trimmed at the front."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.raw: bytes | None = None
        self.broken = False
        self._next = 0

    def append(self, items: list[int], spare: int = 0) -> None:
        """Further events; of all of them the last ``length + spare`` are kept."""
        at = range(self._next, self._next + len(items))
        self._next += len(items)
        pairs = zip(items, at, strict=True)
        blob = b"".join(encode_entry(ITEMS[i - 1], 0, 60_000 * t * t, None) for i, t in pairs)
        accepted, _, count = (0, 0, 0) if self.raw is None else unpack_header(self.raw)
        held = b"" if self.raw is None else self.raw[HEADER_BYTES:]
        surplus = max(0, count + len(items) - self.length - spare)
        kept = held + blob
        body = kept[skip_entries(kept, 0, surplus) :]
        number = count + len(items) - surplus
        self.raw = pack_sequence(accepted + len(items), self._next - 1, number, body)

    def stored(self, user: int | str) -> StoredSequence | None:
        if self.broken:
            raise StateError("the state directory cannot be read")
        if self.raw is None:
            return None
        return StoredSequence(user, PARTITION, self.raw, ACTIONS, self.length)

    def read(self, user: int | str) -> UserState | None:
        found = self.stored(user)
        return None if found is None else found.decode()


def same(found: Past, wanted: Past) -> None:
    assert (found.partition, found.offset, found.used) == (
        wanted.partition,
        wanted.offset,
        wanted.used,
    )
    assert np.array_equal(found.rows, wanted.rows)
    assert (found.vector is None) == (wanted.vector is None)
    if found.vector is not None and wanted.vector is not None:
        torch.testing.assert_close(found.vector, wanted.vector, atol=2e-5, rtol=1e-4)


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
    log = Log(length)
    cached, uncached = PastReader(log, 1 << 20), PastReader(log, NOTHING)
    events = [Interaction(ITEMS[item - 1], "view", 9_999_999_999 + item) for item in ahead]
    log.append([1])
    for items, spare in pieces:
        log.append(items, spare)
        for asked in ([], events, []):
            same(cached.read(V1, 1, asked), uncached.read(V1, 1, asked))


def test_a_past_that_fits_is_read_as_the_network_reads_it() -> None:
    log = Log(20)
    log.append(list(range(1, CAPACITY + 1)))
    state = log.read(1)
    assert state is not None
    items, scores = V1.recommender.recommend(state.history, 5)
    found = PastReader(log, 1 << 20).read(V1, 1)
    assert found.vector is not None
    ours = V1.recommender.catalogue().best(found.vector, 5, [])
    assert [V1.recommender.vocabulary.item(row) for row in ours[0]] == items
    assert ours[1] == pytest.approx(scores, abs=1e-4)


def test_a_past_is_extended_by_new_events_alone_until_the_window_jumps() -> None:
    log = Log(20)
    pasts = PastReader(log, 1 << 20)
    log.append([1])
    pasts.read(V1, 1)
    for item in range(2, CAPACITY + 1):
        log.append([item])
        pasts.read(V1, 1)
    assert (pasts.figures().built, pasts.figures().extended) == (1, CAPACITY - 1)
    log.append([9])
    pasts.read(V1, 1)
    assert pasts.figures().built == 2, "the window moved on"
    pasts.read(V1, 1)
    assert pasts.figures().hits == 1


def test_old_events_that_the_worker_drops_change_nothing() -> None:
    log = Log(CAPACITY)
    pasts = PastReader(log, 1 << 20)
    log.append(list(range(1, CAPACITY + 4)), spare=3)
    before = pasts.read(V1, 1)
    log.append([], spare=0)
    after = pasts.read(V1, 1)
    assert before.vector is not None
    assert after.vector is not None
    assert torch.equal(before.vector, after.vector)
    assert (pasts.figures().built, pasts.figures().hits) == (1, 1)


def test_what_another_version_made_is_refused_and_read_anew() -> None:
    log = Log(20)
    log.append([1, 2, 3])
    pasts = PastReader(log, 1 << 20)
    pasts.read(V1, 1)
    found = pasts.read(V2, 1)
    same(found, PastReader(log, NOTHING).read(V2, 1))
    assert found.version == 2
    assert pasts.figures().built == 2


def test_by_setting_an_older_versions_past_is_extended_for_so_many_versions() -> None:
    log = Log(20)
    log.append([1, 2, 3])
    pasts = PastReader(log, 1 << 20, reuse_versions=1)
    pasts.read(V1, 1)
    log.append([4])
    mixed = pasts.read(V2, 1)
    assert mixed.version == 1
    assert mixed.vector is not None
    pure = PastReader(log, NOTHING).read(V2, 1)
    assert pure.vector is not None
    assert not torch.allclose(mixed.vector, pure.vector, atol=1e-3)
    assert (pasts.figures().built, pasts.figures().extended) == (1, 1)
    assert pasts.read(V2, 1).version == 1
    third = pasts.read(V3, 1)
    assert third.version == 3, "two versions are too many"
    same(third, PastReader(log, NOTHING).read(V3, 1))


def test_what_a_version_made_that_was_rolled_back_is_read_anew() -> None:
    log = Log(20)
    log.append([1, 2, 3])
    pasts = PastReader(log, 1 << 20, reuse_versions=2)
    pasts.read(V1, 1)
    after = msgspec.structs.replace(V2, epoch=V1.epoch + 1)
    assert pasts.read(after, 1).version == 2
    assert pasts.read(msgspec.structs.replace(V3, epoch=after.epoch), 1).version == 2


def test_a_state_that_was_made_anew_is_read_anew() -> None:
    log = Log(20)
    log.append([1, 2, 3, 4])
    pasts = PastReader(log, 1 << 20)
    pasts.read(V1, 1)
    other = Log(20)
    other.append([1, 2, 9, 4, 5])
    log.raw = other.raw
    same(pasts.read(V1, 1), PastReader(log, NOTHING).read(V1, 1))
    assert pasts.figures().built == 2


def test_the_cache_stays_within_its_bytes_and_forgets_who_was_asked_for_longest_ago() -> None:
    log = Log(20)
    log.append([1, 2, 3])
    one = PastReader(log, 1 << 20)
    one.read(V1, 0)
    room = 3 * one.figures().bytes + 10
    pasts = PastReader(log, room)
    for user in (1, 2, 3, 1, 4):
        pasts.read(V1, user)
        assert pasts.figures().bytes <= room
    assert pasts.figures().users == 3
    before = pasts.figures().built
    pasts.read(V1, 1)
    assert pasts.figures().built == before
    pasts.read(V1, 2)
    assert pasts.figures().built == before + 1


def test_with_no_memory_nothing_is_kept() -> None:
    log = Log(20)
    log.append([1, 2, 3])
    pasts = PastReader(log, NOTHING)
    pasts.read(V1, 1)
    assert (pasts.figures().users, pasts.figures().bytes) == (0, 0)


def test_a_sequence_continues_another_only_byte_for_byte() -> None:
    log = Log(4)
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


def test_whom_the_last_requests_were_for_is_read_before_a_version_is_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("everfresh.serving.history.history._AHEAD_S", 60.0)
    log = Log(20)
    log.append([1, 2, 3])
    pasts = PastReader(log, 1 << 20, ahead=2)
    for user in (1, 2, 3):
        pasts.read(V1, user)
    pasts.prepare(V2)
    same(pasts.read(V1, 3), PastReader(log, NOTHING).read(V1, 3))  # what is live goes on
    log.append([4])
    built = pasts.figures().built
    for user, prepared in ((3, 1), (2, 2), (1, 2)):
        same(pasts.read(V2, user), PastReader(log, NOTHING).read(V2, user))
        assert pasts.figures().prepared == prepared
    assert pasts.figures().built == built + 1
    pasts.prepare(V3)
    same(pasts.read(V2, 1), PastReader(log, NOTHING).read(V2, 1))
    same(pasts.read(V3, 1), PastReader(log, NOTHING).read(V3, 1))


def test_a_version_waits_for_pasts_to_be_read_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everfresh.serving.history.history._AHEAD_S", -1.0)
    log = Log(20)
    log.append([1, 2, 3])
    pasts = PastReader(log, 1 << 20, ahead=2)
    pasts.read(V1, 1)
    pasts.prepare(V2)
    same(pasts.read(V2, 1), PastReader(log, NOTHING).read(V2, 1))
    assert pasts.figures().prepared == 0


def test_a_state_that_cannot_be_read_holds_no_version_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, store, holder = Log(20), MemoryWeightStore(), VersionHolder()
    log.append([1, 2, 3])
    for version in (1, 2, 3):
        publish(store, version, epoch=1)
    pasts = PastReader(log, 1 << 20, ahead=64)
    follower = Follower(store, holder, ManualClock(1), load_version, pasts.prepare)
    assert follower.step()
    for user in (1, 2, 3):
        pasts.read(served(3), user)
    log.broken = True
    roll_back(store, 2)
    assert follower.step()
    assert (follower.state.failures, follower.state.reason) == (0, None)
    (said,) = caplog.messages
    assert said.startswith("0 pasts of 3 were read ahead: the state directory")
