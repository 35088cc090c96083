"""A replica whose answers are fresher than its version."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import pytest

from everfresh.adapters.memory import MemoryWeightStore
from everfresh.contracts.event import ItemId
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import Arm
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.segment import RecentRun
from everfresh.contracts.sequence import Interaction
from everfresh.model.recommender import Recommender
from everfresh.model.trends.contexts import BACK, Sightings
from everfresh.model.trends.table import AGAIN
from everfresh.serving.recommend import Answer, RecommendRequest, ScoreRequest
from everfresh.serving.tail import keeper
from tests.contracts.experiments.definitions import define
from tests.serving.replica_in_memory import Bench, publish, recommender

HOT: ItemId = "thirty-one"
"""The item that has been clicked least."""


def publish_with_trends(bench: Bench, version: int, track: str = "default") -> None:
    """A version that has counted some events, up to offset ``10 * version``, and scores by them."""
    scratch = MemoryWeightStore()
    publish(scratch, version)
    made, store = recommender(version), bench.tracks.store(track)
    give_trends(made)
    store.write(msgspec.structs.replace(scratch.manifest(version), parent=None), made.save())
    store.advance(Pointer(0, version))


def give_trends(made: Recommender) -> None:
    rows = np.arange(1, 31)
    none = np.zeros_like(rows)
    made.learn_trends(Sightings.of(rows, none, none, none))
    weights = made.trends.weights.copy()
    weights[:, 0], weights[:, 1] = 0.01, 1.0
    made.weigh_trends(weights)


def clicks(begin: int, item: ItemId, number: int = 20, time_ms: int = 0) -> RecentRun:
    offsets, times = list(range(begin, begin + number)), [time_ms] * number
    nobody, never = [None] * number, [0] * number
    return RecentRun(
        0, begin, begin + number, offsets, offsets, [item] * number, nobody, times, never
    )


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 240  # for what never comes
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def ask(bench: Bench, user: int = 1) -> Answer:
    answer = bench.replica.answer(RecommendRequest("r", user, 3, False))
    assert answer is not None
    return answer


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(keeper, "_REST_S", 0.005)
    made = Bench()
    yield made
    made.replica.stop()


def test_an_answer_is_fresher_than_its_version_and_says_what_it_counts(bench: Bench) -> None:
    publish_with_trends(bench, 1)
    bench.replica.start()
    before = ask(bench)
    assert before.items[0] != HOT
    assert before.tail is None
    bench.recent.put(clicks(10, HOT))
    wait_until(lambda: ask(bench).tail == "0:10-30")
    after = ask(bench)
    assert (after.version, after.items[0]) == (before.version, HOT)
    assert bench.exposures.exposures[-1].tail == "0:10-30"
    scored = bench.replica.score(ScoreRequest("r", 1, [HOT, 1]))
    assert scored is not None
    assert (scored.scores[0], scored.tail) == (after.scores[0], "0:10-30")
    figures = bench.replica.status().figures
    assert (figures["tail_events"], figures["tail_missing"], figures["tail_reason"]) == (20, 0, "")
    assert figures["tail_age_ms"] == 0


def test_the_next_version_goes_live_kept_up_and_a_rollback_goes_back_to_its_offsets(
    bench: Bench,
) -> None:
    publish_with_trends(bench, 1)
    bench.replica.start()
    bench.recent.put(clicks(10, HOT))
    wait_until(lambda: ask(bench).tail == "0:10-30")
    seen: list[Answer] = []
    publish_with_trends(bench, 2)
    while not seen or seen[-1].version != 2:
        seen.append(ask(bench))
    assert {(answer.version, answer.tail) for answer in seen} == {
        (1, "0:10-30"),
        (2, "0:20-30"),
    }
    bench.store.advance(Pointer(1, 1, 2))
    while seen[-1].version != 1:
        seen.append(ask(bench))
    assert seen[-1].tail == "0:10-30"
    assert seen[-1].items == seen[0].items


def test_each_track_counts_from_its_own_version(bench: Bench) -> None:
    bench.tracks.declare(Track(name="fast", started=1, changed=1))
    publish_with_trends(bench, 1)
    publish_with_trends(bench, 2, "fast")
    arms = [Arm("control", 0.5), Arm("treatment", 0.5, "fast")]
    bench.assigner.assignments = Assignments([(4, define(arms=arms))])
    bench.replica.start()
    bench.recent.put(clicks(10, HOT))

    def named() -> set[tuple[str, str | None]]:
        return {(answer.track, answer.tail) for answer in (ask(bench, user) for user in range(20))}

    wait_until(lambda: named() == {("default", "0:10-30"), ("fast", "0:20-30")})


def test_where_events_cannot_be_read_answers_stay_as_fresh_as_they_were(bench: Bench) -> None:
    publish_with_trends(bench, 1)
    bench.replica.start()
    bench.recent.put(clicks(10, HOT))
    wait_until(lambda: ask(bench).tail == "0:10-30")
    bench.recent.fails = OSError("the disk is gone")
    wait_until(lambda: bool(bench.replica.status().figures["tail_reason"]))
    assert ask(bench).tail == "0:10-30"
    bench.recent.put(clicks(30, 1))
    wait_until(lambda: ask(bench).tail == "0:10-50")
    assert "the disk is gone" in bench.replica.status().figures["tail_reason"], "of a partition"
    bench.recent.fails = None
    wait_until(lambda: bench.replica.status().figures["tail_reason"] == "")


def test_a_version_that_nobody_answers_with_is_let_go_of(bench: Bench) -> None:
    """Else the next one would be loaded whole: its tables could not be written over."""
    publish_with_trends(bench, 1)
    bench.replica.start()
    bench.recent.put(clicks(10, HOT))
    wait_until(lambda: ask(bench).tail is not None)
    loaded = bench.replica.current()
    held = weakref.ref(loaded)
    del loaded
    publish_with_trends(bench, 2)
    wait_until(lambda: ask(bench).version == 2)
    wait_until(lambda: held() is None)


def test_who_comes_back_is_told_by_the_streams_own_time(bench: Bench) -> None:
    """By what the answer names: its version, its tail and the user's events."""
    scratch, made = MemoryWeightStore(), recommender(1)
    publish(scratch, 1)
    give_trends(made)
    weights = made.trends.weights.copy()
    weights[:, AGAIN] = -100.0
    weights[BACK, AGAIN] = 100.0
    made.weigh_trends(weights)
    bench.store.write(msgspec.structs.replace(scratch.manifest(1), parent=None), made.save())
    bench.store.advance(Pointer(0, 1))
    bench.remember(1, [4, 5, 6])
    asked = RecommendRequest("r", 1, 3, False, events=[Interaction(7, "view", 1_000_000)])
    bench.replica.start()

    def answered() -> tuple[str | None, bool]:
        answer = bench.replica.answer(asked)
        assert answer is not None
        scored = bench.replica.score(ScoreRequest("r", 1, answer.items, events=asked.events))
        assert scored is not None
        if scored.tail == answer.tail:
            assert scored.scores == pytest.approx(answer.scores, abs=1e-4)
        return answer.tail, set(answer.items) <= {4, 5, 6, 7}

    assert answered() == (None, False)
    just_now, later = 1_000_000 + 1_790_000, 1_000_000 + 1_800_000
    bench.recent.put(clicks(10, HOT, 64, just_now))
    wait_until(lambda: answered() == ("0:10-74", False))
    # A few events from the future move nobody's clock.
    bench.recent.put(clicks(74, HOT, 20, 10**12))
    wait_until(lambda: answered() == ("0:10-94", False))
    bench.recent.put(clicks(94, HOT, 64, later))
    wait_until(lambda: answered() == ("0:10-158", True))
