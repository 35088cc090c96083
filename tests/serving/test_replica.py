"""The replica: answers while versions change, exposures, and its word on itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from everfresh.adapters.weights.rollback import roll_back
from everfresh.contracts.errors import StateFormatError
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.ports import WeightStore
from everfresh.contracts.sequence import Interaction
from everfresh.model.recommender import Recommender
from everfresh.serving.recommend import Answer, RecommendRequest
from everfresh.serving.replica import STALLED_MS
from everfresh.serving.versions.follow import load_version
from tests.serving.replica_in_memory import Bench, publish

HISTORY = [3, 5, 7]


def request(number: int = 0, user: int = 1) -> RecommendRequest:
    return RecommendRequest(f"r-{number}", user, 5, True)


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 240  # for what never comes
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_there_is_no_answer_before_the_first_version() -> None:
    bench = Bench()
    assert bench.replica.answer(request()) is None
    assert bench.exposures.exposures == []


def test_law_7_no_answer_mixes_versions_while_they_change() -> None:
    bench = Bench()
    bench.remember(1, HISTORY)
    versions = {1: publish(bench.store, 1)}
    bench.replica.start()
    done = threading.Event()
    answers: list[list[Answer | None]] = [[] for _ in range(3)]

    def ask(into: list[Answer | None]) -> None:
        while not done.is_set():
            into.append(bench.replica.answer(request()))

    threads = [threading.Thread(target=ask, args=(into,)) for into in answers]
    for thread in threads:
        thread.start()

    def answered_by(version: int) -> bool:
        return all(part and part[-1] and part[-1].version == version for part in answers)

    for version in range(1, 13):
        if version > 1:
            versions[version] = publish(bench.store, version)
        wait_until(partial(answered_by, version))
    done.set()
    for thread in threads:
        thread.join()
    bench.replica.stop()

    history = [Interaction(item, "view", at) for at, item in enumerate(HISTORY)]
    expected = {at: made.recommend(history, 5, HISTORY) for at, made in versions.items()}
    assert len({tuple(scores) for _, scores in expected.values()}) == len(versions)
    for part in answers:
        given = [answer for answer in part if answer is not None]
        assert len(given) == len(part)
        assert {answer.version for answer in given} == set(versions)
        for answer in given:
            items, scores = expected[answer.version]
            assert answer.items == items
            assert answer.scores == pytest.approx(scores, abs=1e-4)
        numbers = [answer.version for answer in given]
        assert numbers == sorted(numbers), "versions only grow"


def test_a_request_keeps_the_version_it_began_with() -> None:
    bench = Bench()
    bench.remember(1, HISTORY)
    old = publish(bench.store, 1)
    bench.replica.start()

    def another_goes_live() -> None:
        if bench.live() == 1:
            publish(bench.store, 2)
            wait_until(lambda: bench.live() == 2)

    bench.on_read = another_goes_live
    began, next_one = bench.replica.answer(request()), bench.replica.answer(request(1))
    bench.replica.stop()
    assert began is not None
    assert next_one is not None
    assert (began.version, next_one.version) == (1, 2)
    history = [Interaction(item, "view", at) for at, item in enumerate(HISTORY)]
    assert began.items == old.recommend(history, 5, HISTORY)[0]


def test_every_answer_leaves_one_exposure() -> None:
    bench = Bench()
    publish(bench.store, 1)
    bench.replica.start()
    bench.clock.advance(5)
    answers = [bench.replica.answer(request(number, user=number)) for number in range(3)]
    bench.replica.stop()
    assert [shown.request_id for shown in bench.exposures.exposures] == ["r-0", "r-1", "r-2"]
    for answer, shown in zip(answers, bench.exposures.exposures, strict=True):
        assert answer is not None
        assert (shown.items, shown.version, shown.time) == (answer.items, 1, 1_005)


def test_exposures_that_cannot_be_left_are_counted_and_the_answer_is_given() -> None:
    bench = Bench()
    bench.exposures.broken = True
    publish(bench.store, 1)
    bench.replica.start()
    assert bench.replica.answer(request()) is not None
    bench.replica.stop()
    figures = bench.reports.statuses[-1].figures
    assert (figures["requests"], figures["failed"], figures["exposures_failed"]) == (1, 0, 1)


def test_a_request_that_fails_is_counted() -> None:
    bench = Bench()
    publish(bench.store, 1)
    bench.replica.start()

    def broken() -> None:
        raise StateFormatError("written by another release")

    bench.on_read = broken
    with pytest.raises(StateFormatError):
        bench.replica.answer(request())
    bench.replica.stop()
    figures = bench.reports.statuses[-1].figures
    assert (figures["requests"], figures["failed"]) == (1, 1)


def test_the_status_says_waiting_then_the_version_and_last_that_it_stopped() -> None:
    bench = Bench()
    bench.replica.start()
    wait_until(lambda: bool(bench.reports.statuses))
    first = bench.reports.statuses[0]
    assert (first.component, first.kind, first.state) == ("replica-a", "replica", "waiting")
    assert first.figures["version"] is None
    bench.clock.advance(250)
    publish(bench.store, 1)
    wait_until(lambda: bench.reports.statuses[-1].state == "serving")
    figures = bench.reports.statuses[-1].figures
    assert (figures["version"], figures["epoch"], figures["live_since_ms"]) == (1, 0, 1_250)
    assert figures["swaps"] == 1
    bench.replica.stop()
    bench.replica.stop()
    assert [status.state for status in bench.reports.statuses].count("stopped") == 1
    assert bench.reports.statuses[-1].state == "stopped"


def test_law_8_a_new_replica_stays_out_until_the_current_version_is_live() -> None:
    whole = publish(Bench().store, 1).save()
    bench = Bench()
    publish(bench.store, 1)
    bench.store.damage(1, "model.safetensors", b"half")
    assert not bench.replica.may_join()
    bench.replica.start()
    assert not bench.replica.may_join()
    bench.store.damage(1, "model.safetensors", whole["model.safetensors"])
    bench.clock.advance(10_000)
    wait_until(bench.replica.may_join)
    assert bench.live() == 1
    bench.replica.stop()


def test_a_new_replica_joins_after_a_rollback() -> None:
    bench = Bench()
    for version in (1, 2, 3):
        publish(bench.store, version, epoch=1)
    roll_back(bench.store, 2)
    bench.replica.start()
    wait_until(bench.replica.may_join)
    assert bench.live() == 2
    bench.replica.stop()


def test_a_new_replica_may_join_while_there_is_no_version_at_all() -> None:
    bench = Bench()
    bench.replica.start()
    assert bench.replica.may_join()
    bench.replica.stop()


def test_a_version_that_cannot_be_loaded_is_no_complaint() -> None:
    bench = Bench()
    publish(bench.store, 1)
    bench.store.damage(1, "model.safetensors", b"half")
    bench.replica.start()
    assert bench.replica.complaint() is None
    assert bench.replica.status().figures["load_failures"] >= 1
    bench.replica.stop()


def test_what_makes_a_version_ready_gives_way_to_what_answers() -> None:
    loader: list[tuple[int, int]] = []

    def load(manifest: WeightManifest, store: WeightStore) -> Recommender:
        thread = threading.get_native_id()
        loader.append((os.sched_getscheduler(thread), os.getpriority(os.PRIO_PROCESS, thread)))
        return load_version(manifest, store)

    bench = Bench(load)
    bench.replica.start()
    publish(bench.store, 1)
    wait_until(lambda: bench.live() == 1)
    bench.replica.stop()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    # 19 is the most there is: a replica that is itself so nice can give way by its policy alone.
    assert loader[0] == (os.SCHED_BATCH, min(own + 10, 19))
    assert os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER


def test_a_look_at_the_store_that_never_ends_is_a_complaint() -> None:
    hanging, go_on = threading.Event(), threading.Event()

    def load(manifest: WeightManifest, store: WeightStore) -> Recommender:
        hanging.set()
        go_on.wait(240)
        return load_version(manifest, store)

    bench = Bench(load)
    bench.replica.start()
    publish(bench.store, 1)
    assert hanging.wait(240)
    assert bench.replica.complaint() is None
    bench.clock.advance(STALLED_MS + 1)
    assert "weight store" in (bench.replica.complaint() or "")
    go_on.set()
    wait_until(lambda: bench.live() == 1)
    wait_until(lambda: bench.replica.complaint() is None)
    bench.replica.stop()


def test_a_replicas_word_says_since_when_it_had_each_of_its_last_versions() -> None:
    bench = Bench()
    bench.replica.start()
    for version, epoch in ((1, 0), (2, 0), (1, 1)):
        bench.clock.advance(100)
        publish(bench.store, version, epoch)
        wait_until(lambda wanted=version: bench.live() == wanted)
    bench.replica.stop()
    said = bench.reports.statuses[-1]
    assert said.figures["joined_ms"] == 1_000
    assert said.figures["lived"] == [(1, 0, 1_100), (2, 0, 1_200), (1, 1, 1_300)]
