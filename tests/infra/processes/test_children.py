"""The children of a run, with stand-in programs: restarts, and deaths that end the run."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from everfresh.contracts.errors import RunError
from everfresh.infra.processes.children import Children, StepUpdate
from everfresh.infra.processes.processes import ChildSpec, same_process
from everfresh.infra.processes.restarts import RestartPolicy

pytestmark = pytest.mark.process

NEEDS = {"base": (), "top": ("base",), "guest": ("elsewhere",)}
ELSEWHERE = "Kafka at 10.9.8.7:9092"


class Run:
    """Children of stand-in programs, and what was said of them."""

    def __init__(self, logs: Path, policy: RestartPolicy) -> None:
        self.run_id = uuid.uuid4().hex
        self.notes: list[StepUpdate] = []
        self.elsewhere_answers = True
        self.ahead_s = 0.0
        self.children = Children(logs, self.run_id, NEEDS, self._missing, self.notes.append, policy)

    def _missing(self, need: str) -> str | None:
        if need == "elsewhere":
            return None if self.elsewhere_answers else ELSEWHERE
        return None if self.children.get(need) else need

    def start(self, name: str, code: str) -> None:
        self.children.start(ChildSpec(name, [sys.executable, "-c", code], {}))

    def watch_until(self, what: str, name: str) -> None:
        while not any(note.what == what and note.step == name for note in self.notes):
            self.children.watch(time.monotonic() + self.ahead_s)
            time.sleep(0.01)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    stand_ins = Run(tmp_path, RestartPolicy(limit=2, first_s=0.0))
    yield stand_ins
    # By their handles: one that has just been started does not show its environment yet, by which
    # a run's leftovers are found.
    for name in stand_ins.children.records():
        child = stand_ins.children.get(name)
        assert child is not None
        child.process.kill()
        child.process.wait()


SLEEP = "import time; time.sleep(600)"
FAIL = "import sys; sys.exit('it broke')"


def test_one_that_dies_is_said_and_started_again(run: Run) -> None:
    run.start("base", SLEEP)
    first = run.children.records()["base"]
    child = run.children.get("base")
    assert child is not None
    child.process.kill()
    run.watch_until("restarted", "base")
    second = run.children.records()["base"]
    assert second.pid != first.pid
    assert same_process(second.pid, second.started)
    assert not same_process(first.pid, first.started)
    [died] = [note for note in run.notes if note.what == "died"]
    assert died.text.startswith("base was ended by SIGKILL; it is started again")


def test_one_that_dies_too_often_stops_the_run_with_its_last_words(run: Run) -> None:
    run.start("base", FAIL)
    with pytest.raises(
        RunError, match=r"base ended with exit code 1 once too often(?s:.*)it broke"
    ):
        run.watch_until("never", "base")
    assert [note.what for note in run.notes] == ["died", "restarted"] * 2


def test_nothing_is_started_again_before_what_it_needs(run: Run) -> None:
    run.start("top", "import time; time.sleep(0.05)")
    run.watch_until("died", "top")
    run.ahead_s = 60.0
    for _ in range(5):
        run.children.watch(time.monotonic() + run.ahead_s)
    assert not any(note.what == "restarted" for note in run.notes)
    run.start("base", SLEEP)
    run.watch_until("restarted", "top")


def test_what_a_component_needs_may_be_run_by_somebody_else(run: Run) -> None:
    run.start("guest", "import time; time.sleep(0.05)")
    run.watch_until("restarted", "guest")
    [died] = [note for note in run.notes if note.what == "died"]
    assert died.text == "guest ended with exit code 0; it is started again in 0.0 s"


def test_a_need_that_is_gone_is_named_and_waited_for_until_it_is_back(run: Run) -> None:
    run.elsewhere_answers = False
    run.start("guest", "import time; time.sleep(0.05)")
    run.watch_until("died", "guest")
    for number in range(5):
        run.children.watch(time.monotonic() + 60.0 * number)
    assert [note.text for note in run.notes] == [
        f"guest ended with exit code 0; it is started again once {ELSEWHERE} answers"
    ]
    assert run.children.absent() == ["guest"]
    run.elsewhere_answers = True
    run.children.watch(time.monotonic() + 600.0)
    assert run.children.absent() == []
    assert run.notes[-1].text == "guest was started again"


def test_a_need_that_goes_before_the_restart_is_said_once(tmp_path: Path) -> None:
    run = Run(tmp_path, RestartPolicy(first_s=30.0, longest_s=30.0))
    run.start("guest", "pass")
    run.watch_until("died", "guest")
    run.elsewhere_answers = False
    for number in range(1, 5):
        run.children.watch(time.monotonic() + 60.0 * number)
    assert [note.text for note in run.notes] == [
        "guest ended with exit code 0; it is started again in 30.0 s",
        f"guest is not started yet: {ELSEWHERE} does not answer",
    ]


def test_a_death_while_starting_is_an_error_at_once(run: Run) -> None:
    run.start("base", FAIL)
    child = run.children.get("base")
    assert child is not None
    child.process.wait(timeout=240)
    with pytest.raises(RunError, match=r"base ended with exit code 1 while the run was starting"):
        run.children.require_alive()


def test_the_error_that_it_named_is_said_whatever_is_written_after_it(run: Run) -> None:
    run.start("base", "print('error: give it a name'); import sys; sys.exit('a thread stopped')")
    child = run.children.get("base")
    assert child is not None
    child.process.wait(timeout=240)
    with pytest.raises(RunError, match=r"^base: give it a name$"):
        run.children.require_alive()
    run.children.watch(time.monotonic())
    assert run.notes[0].text.startswith("base ended with exit code 1: error: give it a name; ")


def test_a_helper_that_ends_is_not_started_again(run: Run) -> None:
    run.start("helper", "pass")
    helper = run.children.get("helper")
    assert helper is not None
    helper.process.wait(timeout=240)
    assert not run.children.watch(time.monotonic())
    assert run.notes == []
