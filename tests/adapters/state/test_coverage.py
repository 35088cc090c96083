"""Which partitions' state is here, how far it is and how old: on disk and in memory alike."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from everfresh.adapters.memory import ManualClock
from everfresh.adapters.state.coverage import StateCoverage
from everfresh.adapters.state.freshness import FreshnessMarks, fresh_until_ms, mark_of
from everfresh.adapters.state.in_memory import MemoryStateWatch
from everfresh.adapters.state.user_state import UserReader, own_partition, read_meta
from everfresh.contracts.errors import StateElsewhere
from everfresh.contracts.ports import StateWatch
from everfresh.contracts.segment import Segment, encode_row, encode_runs
from everfresh.contracts.sequence import (
    FORMAT,
    META_KEY,
    PartitionMeta,
    StateReach,
    encode_entry,
    encode_id,
)

TOPIC = "t.events"
PARTITIONS = 4
NOW = 1_700_000_000_000
USERS = {own_partition(user, PARTITIONS): user for user in range(40)}


class Watched:
    """A watch over states in memory, whose marks are where that watch looks for them."""

    def __init__(self, kind: str, folder: Path, *wanted: int) -> None:
        self.clock = ManualClock(NOW)
        self._stores: dict[int, dict[bytes, bytes]] = {}
        self._memory = MemoryStateWatch(self._stores, self.clock, 10_000, wanted)
        self._disk = StateCoverage(folder, TOPIC, 10_000, wanted, self.clock)
        self._marks = FreshnessMarks(folder, TOPIC)
        self.watch: StateWatch = self._memory if kind == "memory" else self._disk

    def hold(self, partition: int, applied: int) -> None:
        meta = PartitionMeta(FORMAT, "c", TOPIC, "id", partition, applied, [], PARTITIONS)
        self._stores[partition] = {META_KEY: msgspec.msgpack.encode(meta)}
        self.look()

    def mark(self, partition: int, fresh_ms: int) -> None:
        self._marks.set(partition, fresh_ms)
        self._memory.fresh_ms[partition] = fresh_ms
        self.look()

    def look(self) -> None:
        self._disk.look(sorted(self._stores), lambda number: read_meta(self._stores[number].get))

    def require_here(self, user: int) -> None:
        self._disk.require_here(user)


@pytest.fixture(params=["memory", "disk"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Watched:
    return Watched(request.param, tmp_path)


def test_before_any_state_is_here_nothing_is_known(watched: Watched) -> None:
    watched.look()
    watch = watched.watch
    assert (watch.reach(1), watch.stale_ms(1), watch.age_ms(), watch.missing()) == (None,) * 4


def test_a_users_own_partition_says_how_far_it_is(watched: Watched) -> None:
    watched.hold(2, 17)
    assert watched.watch.reach(USERS[2]) == StateReach(2, 17)
    assert watched.watch.reach(USERS[1]) == StateReach(1, None)
    assert watched.watch.missing() == [0, 1, 3]


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_only_what_is_to_be_here_is_missing(kind: str, tmp_path: Path) -> None:
    watched = Watched(kind, tmp_path, 2, 3)
    watched.hold(2, 17)
    assert watched.watch.missing() == [3]


def test_a_state_is_stale_from_the_bound_on_and_fresh_again_with_its_next_mark(
    watched: Watched,
) -> None:
    watched.hold(1, 5)
    watched.hold(2, 5)
    assert watched.watch.age_ms() is None
    watched.mark(1, NOW)
    watched.mark(2, NOW - 3_000)
    assert watched.watch.age_ms() == 3_000
    watched.clock.advance(9_000)
    watched.look()
    assert watched.watch.stale_ms(USERS[1]) is None
    assert watched.watch.stale_ms(USERS[2]) == 12_000
    watched.mark(2, NOW + 8_500)
    assert watched.watch.stale_ms(USERS[2]) is None
    assert watched.watch.age_ms() == 9_000


def test_a_clock_that_was_set_back_hides_no_age(tmp_path: Path) -> None:
    watched = Watched("disk", tmp_path)
    watched.hold(1, 5)
    watched.mark(1, NOW)
    earlier = watched.clock.set_back(3_600_000)
    watched.mark(1, earlier)  # by the worker, a second later
    watched.clock.advance(12_000)
    watched.look()
    assert watched.watch.stale_ms(USERS[1]) == 12_000


def test_what_cannot_be_followed_grows_old_whatever_its_mark_says(tmp_path: Path) -> None:
    watched = Watched("disk", tmp_path)
    watched.hold(1, 5)
    watched.mark(1, NOW)
    disk, meta = watched._disk, lambda number: read_meta(watched._stores[number].get)
    watched.clock.advance(12_000)
    watched._marks.set(1, NOW + 12_000)
    disk.look([1], meta, behind=[1])
    assert (disk.stale_ms(USERS[1]), disk.age_ms()) == (12_000, 12_000)
    disk.look([1], meta)
    assert (disk.stale_ms(USERS[1]), disk.age_ms()) == (None, 0)


def test_without_marks_nothing_is_stale(watched: Watched) -> None:
    watched.hold(1, 5)
    watched.clock.advance(10**9)
    watched.look()
    assert watched.watch.stale_ms(USERS[1]) is None


def test_a_user_of_a_partition_that_is_not_here_is_refused_with_its_number(tmp_path: Path) -> None:
    watched = Watched("disk", tmp_path)
    watched.require_here(USERS[3])  # how many partitions there are is not known yet
    watched.hold(1, 5)
    watched.require_here(USERS[1])
    with pytest.raises(StateElsewhere, match=r"in partition 3 of t.events, .* has the state of 1;"):
        watched.require_here(USERS[3])


def test_how_far_a_state_is_is_told_by_what_its_users_are_read_by() -> None:
    revision, pairs = [0], {}

    def grow(applied: int) -> None:
        names: list[tuple[int, int]] = []
        if applied > 1:
            row = encode_row(applied - 1, NOW, encode_entry(applied, 0, NOW, None))
            segment = Segment(1, applied, 1, {encode_id(7): row})
            pairs[segment.key], names = encode_runs(segment), [segment.name]
        meta = PartitionMeta(FORMAT, "c", TOPIC, "id", 0, applied, ["view"], 1, names)
        pairs[META_KEY] = msgspec.msgpack.encode(meta)

    grow(1)
    reader = UserReader(pairs.get, 0, 5, lambda: revision[0])
    assert reader.stored(7) is None
    grow(9)  # it is there, and whoever catches up is not through yet
    assert ((meta := reader.meta()) and meta.applied, reader.stored(7)) == (1, None)
    revision[0] += 1
    assert (meta := reader.meta())
    assert meta.applied == 9
    assert (stored := reader.stored(7))
    assert stored.decode().offset == 8


def test_a_mark_that_cannot_be_set_stops_nobody(tmp_path: Path) -> None:
    FreshnessMarks(tmp_path / "missing", TOPIC).set(1, NOW)
    assert fresh_until_ms(mark_of(tmp_path / "missing", TOPIC, 1)) is None
    FreshnessMarks(tmp_path, TOPIC).set(1, NOW)
    assert fresh_until_ms(mark_of(tmp_path, TOPIC, 1)) == NOW
    assert mark_of(tmp_path, TOPIC, 1).stat().st_mode & 0o777 == 0o600
