"""``everfresh experiment``: what it writes, what it shows, and how it refuses."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from everfresh.adapters.assigners.in_memory import MemoryDefinitionLog
from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import Arm, Namespace
from everfresh.contracts.experiments.exploration import Explore
from everfresh.experiments.lifecycle import close_arm
from everfresh.infra import cli
from everfresh.infra.cli.commands.experiment import change, show
from tests.contracts.experiments.definitions import define


class Reader:
    """What is in the log; ``said`` is what it says of records that were left out."""

    def __init__(self, log: MemoryDefinitionLog, said: str = "") -> None:
        self._log = log
        self._said = said

    def read_to_end(self) -> None:
        """All is there."""

    def definitions(self) -> object:
        return self._log.read()[1]

    def assignments(self) -> Assignments:
        return Assignments(list(self._log.read()[1].values()))

    def left_out(self) -> str:
        return self._said

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


class WrittenLog(MemoryDefinitionLog):
    """A log as the command opens it."""

    def __enter__(self) -> WrittenLog:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


class Command:
    """Runs commands in this process, on a log in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.log = WrittenLog()
        self.said = ""
        self._capsys = capsys
        monkeypatch.setattr(Interrupts, "install", lambda self: None)
        monkeypatch.setattr(change, "KafkaDefinitionLog", lambda *_: self.log)
        monkeypatch.setattr(show, "DefinitionReader", lambda *_: Reader(self.log, self.said))
        monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
        monkeypatch.setenv("COLUMNS", "200")

    def __call__(self, *words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["experiment", *words, "--bootstrap-servers", "b:9092"])
        code = ended.value.code
        assert isinstance(code, int)
        output, errors = self._capsys.readouterr()
        return code, output, errors


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(monkeypatch, capsys)


NOW = 1_700_000_000_000


def test_start_writes_what_was_asked_for(command: Command) -> None:
    code, output, errors = command(
        *("start", "green", "--arm", "control=0.25", "--arm", "treatment=0.75@default"),
        *("--coverage", "0.1", "--namespace", "page:0:0.5", "--seed", "s"),
    )
    assert (code, errors) == (0, "")
    assert "green runs: control 0.25, treatment 0.75, for 10 % of page 0 to 0.5" in output
    assert "(definition version 0)" in output
    arms = [Arm("control", 0.25), Arm("treatment", 0.75)]
    space = Namespace("page", 0.0, 0.5)
    expected = define(arms=arms, seed="s", coverage=0.1, namespace=space, started=NOW, changed=NOW)
    assert command.log.records == [("green", expected)]


def test_without_arms_it_is_an_even_split_of_everybody(command: Command) -> None:
    assert "green runs: control 0.5, treatment 0.5, for 100 %" in command("start", "green")[1]
    assert command.log.records == [("green", define(started=NOW, changed=NOW))]
    command("start", "three", "--arm", "a", "--arm", "b", "--arm", "c")
    assert command.log.read()[1]["three"][1].arms == [Arm(name, 1 / 3) for name in "abc"]


def test_a_second_experiment_is_told_whom_it_shares_users_with(command: Command) -> None:
    command("start", "green")
    output = command("start", "blue")[1]
    assert "users who are in green too get their arm there, since it was started first" in output
    apart = ("--namespace", "page:0:0.5"), ("--namespace", "page:0.5:1")
    command("stop", "green"), command("stop", "blue")
    assert [command("start", f"e{at}", *each)[1].count("too") for at, each in enumerate(apart)] == [
        0,
        0,
    ]


def test_an_experiment_is_ramped_and_stopped(command: Command) -> None:
    command("start", "green", "--coverage", "0.1")
    output = command("ramp", "green", "0.5")[1]
    assert "green is ramped: control 0.5, treatment 0.5, for 50 %; nobody changed arm" in output
    assert "green is stopped; its users get the arm default" in command("stop", "green")[1]
    written = command.log.read()[1]["green"][1]
    assert (written.coverage, written.since, written.stopped) == (0.5, 0, NOW)


def test_an_interleaved_experiment_is_started_and_shown(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "_tracks", lambda *_: ["default", "fast"])
    words = ("start", "duel", "--interleaved", "--arm", "control", "--arm", "treatment@fast")
    code, output, errors = command(*words, "--coverage", "0.1")
    assert (code, errors) == (0, "")
    assert (
        "duel runs: control by track default and treatment by track fast together in each answer, "
        "for 10 %"
    ) in output
    arms = [Arm("control", 0.5), Arm("treatment", 0.5, "fast")]
    (written,) = [each for _, each in command.log.records]
    assert written == define(
        "duel", arms=arms, interleaved=True, coverage=0.1, started=NOW, changed=NOW
    )
    assert "control 0.5 with treatment 0.5 by track fast" in command("list")[1]
    said = {command("assign", str(user))[1].rpartition("user")[2][:40] for user in range(30)}
    assert any("is in duel: arm interleaved" in each for each in said)


def test_a_sticky_experiment_gets_smaller_and_other_weights(command: Command) -> None:
    command("start", "green", "--sticky", "--coverage", "0.5")
    output = command("ramp", "green", "0.1")[1]
    assert "for 10 %; whoever was shown an arm keeps it" in output
    output = command("reweigh", "green", "--arm", "control=0.9", "--arm", "treatment=0.1")[1]
    assert "green has other weights: control 0.9, treatment 0.1; whoever was shown an arm" in output
    written = command.log.read()[1]["green"][1]
    assert (written.coverage, written.sticky, written.moved) == (0.1, True, True)
    assert "green is sticky, and its coverage or weights have changed" in command("assign", "5")[1]


def test_what_an_arm_explores_is_written(command: Command) -> None:
    command("start", "a", "--explore", "treatment=0.1")
    command("start", "b", "--explore", "treatment=0.2:500", "--explore", "control=0.1:fresh=3600")
    explored = {
        name: {arm.name: arm.explore for arm in each.arms}
        for name, (_, each) in command.log.read()[1].items()
    }
    assert explored == {
        "a": {"control": None, "treatment": Explore(0.1)},
        "b": {"control": Explore(0.1, fresh_s=3600), "treatment": Explore(0.2, 500)},
    }


REFUSED = [
    (["start", "new", "--interleaved"], 1, "both arms .* name the track default; name two tracks"),
    (["start", "new", "--interleaved", "--sticky"], 2, "--interleaved and --sticky exclude"),
    (["start", "new", "--explore", "other=0.1"], 1, "ARM one of control, treatment"),
    (["start", "new", "--explore", "control=1"], 1, "The share is above 0 and below 1"),
    (["start", "new", "--explore", "control=0.1:5000"], 1, "TOP is 1 to 1000"),
    (["start", "new", "--explore", "control"], 1, "--explore is ARM=SHARE"),
    (["reweigh", "green", "--arm", "control=1"], 1, "only an experiment that was started with"),
    (["reweigh", "green", "--arm", "a=0.5", "--arm", "a=0.5"], 1, "name each arm once"),
    (["start", "a b"], 1, "the name of an experiment has 1 to 64"),
    (["start", "green"], 1, "green runs already"),
    (["start", "new", "--arm", "a"], 1, "2 to 20 arms were expected, found 1"),
    (["start", "new", "--arm", "a=0.5", "--arm", "b"], 1, "1 of 2 arms have a weight"),
    (["start", "new", "--arm", "a=0.5", "--arm", "b=0.4"], 1, "sum to 0.9"),
    (["start", "new", "--arm", "a=much", "--arm", "b=0.5"], 1, "--arm takes shares.*'much'"),
    (["start", "new", "--arm", "a=nan", "--arm", "b=0.5"], 1, "--arm takes shares.*'nan'"),
    (["start", "new", "--arm", "a=1=2", "--arm", "b"], 1, "--arm is NAME=WEIGHT.*'a=1=2'"),
    (["start", "new", "--arm", "a", "--arm", "b@slow"], 1, "track 'slow', and there is no such"),
    (["start", "new", "--arm", "a", "--arm", "a"], 1, "arm a is named twice"),
    (["start", "new", "--namespace", "page"], 1, "--namespace is NAME:BEGIN:END.*found 'page'"),
    (["start", "new", "--namespace", "page:0:2"], 1, "--namespace takes shares.*found '2'"),
    (["start", "new", "--namespace", "page:0.5:0.5"], 1, "which holds nobody"),
    (["start", "new", "--holdout"], 1, "a holdout needs --coverage"),
    (["start", "new", "--coverage", "2"], 2, "--coverage"),
    (["start", "new", "--coverage", "nan"], 2, "--coverage"),
    (["ramp", "green", "0.05"], 1, "green has coverage 0.1"),
    (["ramp", "grean", "0.5"], 1, "did you mean green"),
    (["ramp", "green", "nan"], 2, "SHARE"),
    (["stop", "nothing"], 1, "there is no experiment 'nothing'"),
    (["assign", ""], 1, "1 to 200 bytes"),
]


@pytest.mark.parametrize(("words", "code", "message"), REFUSED)
def test_a_mistake_is_one_line_and_writes_nothing(
    words: list[str], code: int, message: str, command: Command
) -> None:
    command.log.write("green", define(coverage=0.1))
    ended, output, errors = command(*words)
    assert (ended, output) == (code, "")
    assert re.search(message, errors), errors
    if code == 1:
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
    assert len(command.log.records) == 1


def test_list_shows_running_and_stopped_in_the_order_of_their_start(command: Command) -> None:
    assert "no experiment is defined" in command("list")[1]
    command.log.write("old", define("old", stopped=9))
    command.log.write("green", define("green", coverage=0.001, since=0))
    held = define("out", holdout=True, arms=[Arm("out", 1.0)], coverage=0.05)
    command.log.write("out", held)
    command.said = "left out: 2 records that define no experiment, the last at x"
    output = command("list")[1]
    rows = [line.split() for line in output.splitlines() if line[:3] in ("old", "gre", "out")]
    # "green" was started at offset 0 by what its record says, and ramped since.
    assert [(row[0], row[1]) for row in rows] == [
        ("old", "stopped"),
        ("green", "running"),
        ("out", "holdout"),
    ]
    assert "0.1 %" in output
    assert "left out: 2 records" in output


def test_list_as_json_has_every_field(command: Command) -> None:
    command.log.write("green", define("green"))
    (shown,) = json.loads(command("list", "--json")[1])["experiments"]
    assert (shown["name"], shown["state"], shown["definition_version"]) == ("green", "running", 0)
    never = {"closed": None, "why": "", "reopened": None, "explore": None}
    assert shown["arms"][1] == {"name": "treatment", "weight": 0.5, "track": "default", **never}


def test_a_closed_arm_is_listed_as_closed_and_can_be_opened_again(command: Command) -> None:
    definition = define("green")
    command.log.write("green", definition)
    closed = close_arm({"green": (0, definition)}, "green", "treatment", "it skips", 5)
    command.log.write("green", closed)
    assert "treatment 0.5 closed 1970-01-01" in command("list")[1]
    assert "treatment is open again" in command("reopen", "green", "treatment")[1]
    assert "closed" not in command("list")[1]


def test_assign_shows_the_arm_and_where_the_user_stands(command: Command) -> None:
    command.log.write("green", define("green"))
    command.log.write("blue", define("blue"))
    command.log.write("none", define("none", coverage=0.0))
    output = command("assign", "7")[1]
    arm = Assignments([(0, define("green"))]).assign(7).arm
    assert f"user 7 is in green: arm {arm}, track default, by definition version 0" in output
    assert f"in, arm {arm}; decides" in output
    assert "green comes first" in output
    assert "not in: the bucket is outside the " in output
    told = json.loads(command("assign", "7", "--json")[1])
    assert told["assignment"]["arm"] == arm
    assert [place["experiment"] for place in told["experiments"]] == ["green", "blue", "none"]


def test_assign_says_where_other_systems_assign(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ASSIGNER", "request"), ("NAME", "home"), ("ARMS", '["a"]')):
        monkeypatch.setenv(f"EVERFRESH_EXPERIMENTS__{name}", value)
    assert "experiments.assigner is request, so replicas do not" in command("assign", "7")[1]
