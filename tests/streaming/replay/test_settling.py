"""When the workers' own words say that no dead letter waits to be written."""

from __future__ import annotations

from everfresh.contracts.report import ComponentStatus
from everfresh.streaming.replay.settling import WorkerWords


def word(
    name: str, undelivered: int | str, partitions: int = 1, kind: str = "worker", state: str = ""
) -> ComponentStatus:
    figures = {"undelivered": undelivered, "partitions": partitions}
    return ComponentStatus(name, kind, 0, state or "running", figures)


def test_the_second_word_of_each_worker_counts() -> None:
    words = WorkerWords(2)
    for status in (word("a", 0), word("b", 0), word("a", 0)):
        words.hear(status)
        assert not words.nothing_waits
    words.hear(word("b", 0))
    assert words.nothing_waits


def test_the_newest_word_holds() -> None:
    words = WorkerWords(1)
    for undelivered in (0, 0):
        words.hear(word("a", undelivered))
    assert words.nothing_waits
    words.hear(word("a", 3))
    assert not words.nothing_waits


def test_who_is_no_running_worker_of_these_partitions_says_nothing() -> None:
    words = WorkerWords(2)
    for _ in range(3):
        words.hear(word("a", 0))
        words.hear(word("trainer", 0, kind="trainer"))
        words.hear(word("b", 0, state="stopped"))
        words.hear(ComponentStatus("c", "worker", 0, "running", {}))
        words.hear(ComponentStatus("d", "worker", 0, "running", {"undelivered": 0}))
    assert not words.nothing_waits
