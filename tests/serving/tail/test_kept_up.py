"""A version's trends are what its learner would have counted on, whatever way the events came."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from everfresh.contracts.event import ItemId
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.recommender import Recommender
from everfresh.model.trends.contexts import Sightings
from everfresh.model.trends.table import TrendTable
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.serving.tail.kept_up import SETTLED_MS, KeptUp
from everfresh.serving.tail.recent_log import RecentLog
from tests.serving.tail.events import Logged, made_log, run_of

ITEMS: list[ItemId] = [*range(1, 30), "x", "y"]
NONE = np.zeros(0, np.int64)


@pytest.fixture(scope="module")
def version() -> Recommender:
    """It knows all items but "y", and has learnt some events."""
    made = Recommender(ModelSettings(dim=8, blocks=1, heads=1), Vocabulary(1), 3)
    known = [Interaction(item, "view", 0) for item in ITEMS[:-1]]
    made.admit([DecodedExample(1, [], known, [], [])])
    rows = np.random.default_rng(1).integers(1, len(ITEMS), 400)
    none = np.zeros_like(rows)
    made.learn_trends(Sightings.of(rows, np.append(0, rows[:-1]), none, none))
    return made


def manifest(through: dict[int, int]) -> WeightManifest:
    return WeightManifest(2, 1, None, 0, 0, through, {}, [], {}, 0, 0, {})


def offline(version: Recommender, log: list[Logged], missing: int = 0) -> TrendTable:
    """What the trainer's side counts of the same events."""
    ordered = sorted(log, key=lambda each: each.key)
    row = version.vocabulary.row
    before = [0 if each.before is None else row(each.before) for each in ordered]
    tail = version.tail()
    tail.skip(missing)
    rows = np.array([row(each.item) for each in ordered], np.int64)
    times = np.array([each.time // 1000 for each in ordered], np.int64)
    at = np.array([each.earlier // 1000 for each in ordered], np.int64)
    tail.learn(Sightings.of(rows, np.array(before, np.int64), times, at))
    return tail.table()


def assert_same(one: TrendTable, other: TrendTable) -> None:
    """Bit for bit."""
    last = np.arange(len(other.features))
    assert (one.clock, one.time) == (other.clock, other.time)
    assert np.array_equal(one.features, other.features)
    assert np.array_equal(one.chance, other.chance)
    for mine, theirs in zip(one.links(last), other.links(last), strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("seed", range(3))
def test_a_replicas_tail_is_the_one_offline_at_the_same_offsets(
    version: Recommender, seed: int
) -> None:
    """Partitions are read in any order and some far behind others; after each look the numbers are
    those of the events that were read."""
    rng = random.Random(seed)
    log, kept = made_log(300, 3, seed, ITEMS), RecentLog()
    through = {0: 9, 1: 4}
    trending = KeptUp(version, manifest(through))
    ends = [0, 0, 0]
    while any(end < 210 for end in ends):
        partition = rng.choice([at for at, end in enumerate(ends) if end < 210])
        end = ends[partition] + rng.choice([3, 40, 120])
        kept.put(run_of(partition, ends[partition], end, log))
        ends[partition] = end
        trending.renew(kept)
        read = [
            each
            for each in log
            if through.get(each.partition, 0) <= each.offset < ends[each.partition]
        ]
        if trending.now is not None:
            assert trending.now.events == len(read)
            assert_same(trending.now.table, offline(version, read))
    assert trending.now is not None
    assert log[-1].appended - log[0].appended > 3 * SETTLED_MS, "some were counted for good"
    assert not trending.renew(kept), "nothing has come since"


def test_what_is_missing_fades_what_the_version_had(version: Recommender) -> None:
    log, kept = made_log(200, 1, 3, ITEMS), RecentLog()
    kept.put(run_of(0, 50, 90, log))
    trending = KeptUp(version, manifest({0: 10}))
    assert trending.renew(kept)
    assert trending.now is not None
    assert (trending.now.missing, trending.now.name) == (40, "0:50-90")
    read = [each for each in log if 50 <= each.offset < 90]
    assert_same(trending.now.table, offline(version, read, missing=40))


def test_after_events_were_let_go_of_the_rest_is_counted_anew(version: Recommender) -> None:
    log, kept = made_log(500, 1, 4, ITEMS), RecentLog(most=200)
    trending = KeptUp(version, manifest({}))
    for end in range(50, 1_000, 50):
        kept.put(run_of(0, end - 50, end, log))
        trending.renew(kept)
    recent = kept.since({})
    assert trending.now is not None
    assert trending.now.missing == recent.missing > 0
    read = [each for each in log if each.offset >= recent.ranges[0][0][0]]
    assert_same(trending.now.table, offline(version, read, recent.missing))


def test_the_next_version_begins_where_its_window_ended(version: Recommender) -> None:
    """A swap, or a rollback to an older version: each counts from its own offsets."""
    log, kept = made_log(300, 2, 6, ITEMS), RecentLog()
    for partition in (0, 1):
        kept.put(run_of(partition, 0, 500, log))
    for through in ({0: 100, 1: 90}, {0: 20, 1: 25}):
        trending = KeptUp(version, manifest(through))
        trending.renew(kept)
        read = [each for each in log if each.offset >= through[each.partition]]
        assert trending.now is not None
        assert_same(trending.now.table, offline(version, read))


def test_a_version_without_trends_has_none_to_keep_up() -> None:
    blank = Recommender(ModelSettings(dim=8, blocks=1, heads=1), Vocabulary(1), 3)
    kept = RecentLog()
    kept.put(run_of(0, 0, 50, made_log(30, 1, 1, ITEMS)))
    trending = KeptUp(blank, manifest({}))
    assert not trending.renew(kept)
    assert trending.now is None


def test_without_events_the_version_answers_by_its_own(version: Recommender) -> None:
    trending = KeptUp(version, manifest({0: 7}))
    assert not trending.renew(RecentLog())
    assert trending.now is None


def test_requests_do_not_weigh_again_what_was_weighed_for_those_before(
    version: Recommender,
) -> None:
    log, kept = made_log(20, 1, 5, ITEMS), RecentLog()
    trending = KeptUp(version, manifest({}))
    version.trend_table().pool_one(np.zeros(version.vocabulary.rows, np.float32), NONE, 0)
    for end in (10, 20):
        kept.put(run_of(0, end - 10, end, log))
        assert trending.renew(kept)
        assert trending.now is not None
        table = trending.now.table
        weighed = dict(table._pooled)
        scores, again = np.zeros((2, len(table.features)), np.float32)
        table.pool_one(scores, NONE, 0)
        assert table._pooled.keys() == weighed.keys()
        replace(table, _pooled={}).pool_one(again, NONE, 0)
        assert np.array_equal(scores, again)
