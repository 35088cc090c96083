"""The check of answers from outside, and the figures: each shows what it is there to find."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.swap_storm.check import compare
from benchmarks.swap_storm.client import Answer
from benchmarks.swap_storm.report import Outcome, Segment, figures
from everfresh.adapters.memory import MemoryWeightStore
from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import Interaction
from tests.serving.replica_in_memory import publish

HISTORIES: dict[UserId, list[Interaction]] = {
    7: [Interaction(3, "view", 0), Interaction(5, "view", 60_000)],
    8: [Interaction(11, "view", 0)],
}


@pytest.fixture(scope="module")
def store() -> MemoryWeightStore:
    versions = MemoryWeightStore()
    publish(versions, 1)
    publish(versions, 2)
    return versions


def answer(version: int, user: int, by: int | None = None, due: float = 0.0) -> Answer:
    recommender = publish(MemoryWeightStore(), by or version)
    items, scores = recommender.recommend(HISTORIES[user], 4)
    return Answer(due, 0.001, user, version, [int(item) for item in items], scores, "")


def test_answers_of_the_version_they_name_are_right(store: MemoryWeightStore) -> None:
    answers = [answer(version, user) for version in (1, 2) for user in (7, 8)]
    assert compare(answers, HISTORIES, store) == (0, 2)


def test_an_answer_of_another_version_or_of_two_is_found(store: MemoryWeightStore) -> None:
    right, other = answer(1, 7), answer(1, 7, by=2)
    of_two = msgspec.structs.replace(right, scores=[*right.scores[:2], *other.scores[2:]])
    anothers = msgspec.structs.replace(answer(1, 8), user=7)
    swapped = msgspec.structs.replace(right, items=right.items[::-1])
    for wrong in (other, of_two, anothers, swapped):
        assert compare([right, wrong], HISTORIES, store) == (1, 1)


def test_what_failed_has_no_version_and_is_counted_apart(store: MemoryWeightStore) -> None:
    failed = Answer(0.0, 0.0, 7, 0, [], [], "503: busy")
    assert compare([failed, answer(2, 8)], HISTORIES, store) == (0, 1)


def test_figures_hold_segments_without_a_fault_beside_each_other() -> None:
    segments = [
        Segment(False, 0.0, 5.0, ""),
        Segment(True, 5.0, 10.0, ""),
        Segment(False, 10.0, 15.0, ""),
        Segment(True, 15.0, 20.0, "replica"),
    ]
    answers = []
    for at in range(2000):
        due = at / 100
        took = 0.002 if due % 10 < 5 else 0.009 if due >= 15 else 0.004
        answers.append(Answer(due, took, 7, 1 + max(0, int(2 * due) - 9), [], [], ""))
    answers.append(Answer(16.0, 1.0, 7, 0, [], [], "gone"))
    results = figures(Outcome(segments, answers, 0, 3), pace=2.0)
    assert (results["requests"], results["failed"], results["mixed"]) == (2001, 1, 0)
    assert (results["p99_calm_ms"], results["p99_busy_ms"], results["p99_ratio"]) == (2.0, 4.0, 2.0)
    assert results["pause_p50_ms"] == results["pause_p99_ms"] == 2.0
    assert results["swaps"] == 30
