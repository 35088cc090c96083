"""What ``cluster`` counts as failed, and as a wrong state."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.cluster import __main__ as cluster
from benchmarks.cluster.load import Asked, Seen
from benchmarks.cluster.measure import Outcome
from benchmarks.cluster.report import figures, show
from benchmarks.cluster.states import LENGTH, Disk, Log
from benchmarks.harness.steps import Step
from everfresh.contracts.event import Event
from everfresh.contracts.sequence import Interaction, UserState
from tests.benchmarks.short_run import short_run


class Reader:
    """A state that knows what it is given."""

    def __init__(self, states: dict[int | str, UserState]) -> None:
        self.read = states.get


def state(user: int, items: list[int], offset: int, accepted: int | None = None) -> UserState:
    history = [Interaction(item, "view", at) for at, item in enumerate(items)]
    return UserState(user, 0, offset, len(items) if accepted is None else accepted, history)


def test_a_state_is_right_only_as_the_logs_last_events_their_number_and_the_last_offset() -> None:
    many = list(range(LENGTH + 5))
    right = {
        1: state(1, [5, 6], offset=7),
        2: state(2, many[-LENGTH:], offset=900, accepted=len(many)),
    }
    log = Log(
        {1: [(3, 5, "view"), (7, 6, "view")], 2: [(900 - 204 + at, at, "view") for at in many]},
        {0: 901},
    )
    disk = object.__new__(Disk)
    disk._reader = Reader(right)  # type: ignore[assignment]
    assert disk.wrong(log) == 0
    wrong = [
        {2: right[2]},
        {**right, 1: state(1, [6, 5], offset=7)},
        {**right, 1: state(1, [5, 6], offset=3)},
        {**right, 1: state(1, [5, 6], offset=7, accepted=3)},
    ]
    for states in wrong:
        disk._reader = Reader(states)  # type: ignore[assignment]
        assert disk.wrong(log) == 1, states


def test_the_ratings_are_sent_and_the_figures_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "u.data"
    data.write_text("1\t7\t3\t881250949\n2\t7\t5\t881250950\n")
    sent: list[Event] = []

    def measured(
        folder: Path, events: Sequence[Event], rate: float, calm_s: float, store: object
    ) -> Outcome:
        sent.extend(events)
        time.sleep(0.1)  # seconds are told with one digit
        names = ["second machine added: follower, replica", "third machine in its place"]
        steps, seen = [Step(name, 0.0, 5.0) for name in names], [Seen(1.0, 0.1, 200)]
        return Outcome(steps, [Asked(1.0, 0.1, 200, 1, "model")], seen, [9.0], {}, 2, 2)

    for name in ("kafka_jars", "enter", "find_store"):
        monkeypatch.setattr(cluster, name, lambda *ignored: None)
    monkeypatch.setattr(cluster, "fetch_ml100k", lambda *ignored: data)
    monkeypatch.setattr(cluster, "measure", measured)
    assert short_run(cluster.main, tmp_path)["failed"] == 0
    assert [event.user_id for event in sent] == [1, 2]


def test_whatever_is_not_answered_with_200_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    names = [
        "second machine added: follower, replica",
        "third machine in its place",
        "first machine lost",
    ]
    steps = [Step(name, 10.0 * at, 10.0 * at + 5.0) for at, name in enumerate(names)]
    asked = [
        Asked(1.0, 0.002, 200, 3, "popular"),
        Asked(2.0, 2.0, 0, 0, ""),
        Asked(22.0, 0.1, 503, 0, ""),
    ]
    seen = [Seen(1.0, 0.05, 200), Seen(2.0, 0.06, 200), Seen(22.0, 1.0, 503)]
    outcome = Outcome(steps, asked, seen, [900.0], {"machine2": 0, "machine3": 1}, 7, 70)
    found = figures(outcome)
    assert (found["requests"], found["failed"], found["slowest_s"]) == (3, 2, 2.0)
    assert found["unknown"] == 1
    assert found["live_versions"] == 1, "what failed names none"
    assert (found["states_wrong"], found["states_compared"]) == (1, 14)
    assert (found["join_s"], found["replace_s"]) == (5.0, 5.0)
    show(outcome)
    said = capsys.readouterr().out.splitlines()
    (lost,) = [line for line in said if "first machine lost" in line]
    assert [cell.strip() for cell in lost.split("│")[3:6]] == ["1", "1", "0"]
    assert "[0, 503]" in said[-1]
