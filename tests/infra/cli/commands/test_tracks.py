"""``everfresh tracks``: what it starts, shows and refuses, on a weight store on this disk."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.experiments.definition import DEFAULT, Arm, Definition
from everfresh.infra import cli
from everfresh.infra.cli.commands.experiment import change as experiment_change
from everfresh.infra.cli.commands.tracks import change
from tests.contracts.experiments.definitions import define
from tests.infra.cli.commands.test_experiment import Reader, WrittenLog
from tests.trainer.small_settings import SMALL, one_thread
from tests.trainer.tracks.track_bench import TrackBench

__all__ = ["one_thread"]


class Command:
    """Runs commands in this process, on two versions of the default track."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.bench = TrackBench(home)
        self.bench.tracks = self.tracks = FsspecTracks(self.bench.settings)
        self.bench.reveal(2)
        self.bench.run_tracks()
        self.log = WrittenLog()
        self._home = home
        self._capsys = capsys

    def __call__(self, *words: str, group: str = "tracks") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([group, *words, "--home", str(self._home)])
        code = ended.value.code
        assert isinstance(code, int)
        output, errors = self._capsys.readouterr()
        return code, output, errors

    def listed(self) -> dict[str, dict[str, Any]]:
        code, output, _ = self("list", "--json")
        assert code == 0
        return {row["track"]: row for row in json.loads(output)["tracks"]}

    def define(self, definition: Definition) -> None:
        self.log.write(definition.name, definition)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setattr(Interrupts, "install", lambda self: None)
    tables = {group: "\n".join(f"{k} = {v}" for k, v in SMALL[group].items()) for group in SMALL}
    toml = "".join(f"[{group}]\n{lines}\n" for group, lines in tables.items())
    Path("everfresh.toml").write_text(toml)
    made = Command(tmp_path / "home", capsys)
    monkeypatch.setattr(change, "with_brokers", lambda settings: settings)
    monkeypatch.setattr(change, "DefinitionReader", lambda *_: Reader(made.log))
    monkeypatch.setattr(experiment_change, "KafkaDefinitionLog", lambda *_: made.log)
    monkeypatch.setattr(experiment_change, "with_brokers", lambda settings: settings)
    return made


def test_a_track_is_started_frozen_gone_on_with_ended_and_deleted(command: Command) -> None:
    code, output, errors = command("start", "fast", "--set", "trainer.learning_rate=0.02")
    assert (code, errors) == (0, "")
    assert "track fast is live, from default:2, with trainer.learning_rate=0.02" in output
    assert "each replica holds its versions (0.0" in output
    row = command.listed()["fast"]
    assert (row["state"], row["origin"], row["version"]) == ("live", "default:2", 2)
    assert row["tuning"] == {"trainer.learning_rate": 0.02}
    assert row["replica_bytes"] > 1_000
    assert row["stored_bytes"] > row["replica_bytes"]

    assert "is frozen at version 2" in command("freeze", "fast")[1]
    assert command.listed()["fast"]["state"] == "frozen"
    assert "goes on from where it was frozen" in command("start", "fast")[1]
    assert command.listed()["fast"]["state"] == "live"
    assert "its versions are kept" in command("end", "fast")[1]
    assert "goes on from where it was ended" in command("start", "fast")[1]
    assert "its versions are deleted" in command("end", "fast", "--delete")[1]
    assert set(command.listed()) == {DEFAULT}
    assert command.tracks.store("fast").versions() == []


def test_a_holdout_is_a_track_that_is_frozen_from_the_start(command: Command) -> None:
    assert (
        "track holdout is frozen, from default:1"
        in command("start", "holdout", "--from", "default:1", "--frozen")[1]
    )
    assert command.tracks.declared()["holdout"].state == "frozen"


def test_a_track_from_nothing_has_its_own_model(command: Command) -> None:
    output = command("start", "new", "--from", "nothing", "--set", "model.dim=4")[1]
    assert "track new is live, from nothing, with model.dim=4" in output
    assert "as much memory as the default track's" in output
    assert "track new has no version yet that it could stay at" in command("freeze", "new")[2]
    output = command("list")[1]
    assert "new: from nothing, with model.dim=4" in output, output


def test_a_promotion_says_how_to_undo_it(command: Command) -> None:
    command("start", "fast", "--set", "trainer.learning_rate=0.02")
    code, output, errors = command("promote", "fast")
    assert (code, errors) == (0, "")
    assert "version 3 is the default track's current one, epoch 2: that of track fast" in output
    assert "to undo it: everfresh rollback 2" in output
    row = command.listed()[DEFAULT]
    assert (row["version"], row["epoch"], row["origin"]) == (3, 2, "fast:2")
    assert row["tuning"] == {"trainer.learning_rate": 0.02}
    assert command("2", group="rollback")[0] == 0
    assert command.listed()[DEFAULT]["tuning"] == {}


REFUSED = [
    (["start", "default"], "meaning of its own"),
    (["start", "a b"], "the name of a track has 1 to 64"),
    (["start", "x", "--from", "slow"], "no track 'slow' to start from; the tracks are: default"),
    (["start", "x", "--from", "default:9"], "version 9 is not in the weight store"),
    (["start", "x", "--from", "default:"], "--from takes a track, TRACK:VERSION, or nothing"),
    (["start", "x", "--set", "trainer.seed"], "--set takes NAME=VALUE.*found 'trainer.seed'"),
    (["start", "x", "--set", "trainer.sead=1"], "did you mean trainer.seed"),
    (["start", "x", "--set", "trainer.epochs=no"], "trainer.epochs: .*found 'no'"),
    (["start", "x", "--set", "trainer.threads=2"], "all tracks have one value of it"),
    (
        ["start", "x", "--set", "model.dim=4"],
        "model.dim=8, the settings say dim=4; .*--from nothing",
    ),
    (["start", "x", "--set", "model.heads=3"], "must divide model.dim"),
    (["start", "x", "--from", "nothing", "--frozen"], "leave out --frozen"),
    (["freeze", "default"], "start a frozen track from it"),
    (["freeze", "fist"], "no track 'fist'; did you mean first"),
    (["promote", "slow"], "there is no track 'slow'"),
    (["end", "slow"], "there is no track 'slow'"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_a_mistake_is_one_line_and_changes_nothing(
    words: list[str], message: str, command: Command
) -> None:
    command("start", "first")
    before = command.tracks.declared()
    code, output, errors = command(*words)
    assert (code, output) == (1, "")
    assert re.search(message, errors), errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert command.tracks.declared() == before


def test_a_track_that_a_running_experiment_names_is_not_ended(command: Command) -> None:
    command("start", "fast")
    arms = [Arm("control", 0.5), Arm("treatment", 0.5, "fast")]
    command.define(define("green", arms=arms))
    code, _, errors = command("end", "fast")
    assert code == 1
    assert "experiment green runs, and its arm treatment names track fast" in errors
    command.define(define("green", arms=arms, stopped=9))
    assert command("end", "fast")[0] == 0


def test_an_experiment_may_name_a_track_that_is_served_and_no_other(command: Command) -> None:
    words = ("start", "green", "--arm", "control", "--arm", "treatment@fast")
    code, _, errors = command(*words, group="experiment")
    assert code == 1
    assert "track 'fast', and there is no such track; the tracks are: default" in errors
    command("start", "fast")
    code, output, _ = command(*words, group="experiment")
    assert code == 0
    assert "green runs: control 0.5, treatment 0.5 by track fast" in output


def test_tracks_that_cannot_be_read_are_one_line(command: Command) -> None:
    place = Path(command.bench.settings.weights_url) / "tracks.json"
    place.write_text('{"format": 9, "tracks": []}')
    code, _, errors = command("list")
    assert code == 1
    assert "tracks.json in" in errors
    assert "format 1 was expected, found 9" in errors
    assert errors.count("\n") == 1


def test_a_track_is_rolled_back_and_its_versions_are_listed_by_its_name(command: Command) -> None:
    command("start", "fast", "--set", "trainer.learning_rate=0.015")
    command.bench.reveal(4)
    command.bench.run_tracks()
    code, output, _ = command("3", "--track", "fast", group="rollback")
    assert code == 0
    assert "version 3 is the current one, epoch 2" in output
    assert command.listed()["fast"]["epoch"] == 2
    assert command.listed()[DEFAULT]["epoch"] == 1
    rows = json.loads(command("--track", "fast", "--json", group="versions")[1])["versions"]
    assert [(row["version"], row["origin"]) for row in rows][1:3] == [(2, "default:2"), (3, "")]
    for group in ("versions", "rollback"):
        words = ("1",) if group == "rollback" else ()
        code, _, errors = command(*words, "--track", "fest", group=group)
        assert code == 1
        assert "no track 'fest'; did you mean fast" in errors


def test_a_diverted_experiment_tells_its_tracks_whose_users_they_learn_from(
    command: Command,
) -> None:
    words = ("start", "green", "--arm", "control", "--arm", "treatment@fast", "--diverted")
    command("start", "fast")
    code, _, errors = command(*words[:4], "--arm", "b", "--diverted", group="experiment")
    assert code == 1
    assert "to divert data, give arms tracks of their own" in errors
    assert command.tracks.declared()["fast"].audience is None
    assert command(*words, "--coverage", "0.2", group="experiment")[0] == 0
    audience = command.tracks.declared()["fast"].audience
    assert audience is not None
    assert (audience.experiment, audience.ranges) == ("green", [(0.5, 0.6)])
    assert command("ramp", "green", "0.5", group="experiment")[0] == 0
    audience = command.tracks.declared()["fast"].audience
    assert audience is not None
    assert audience.ranges == [(0.5, 0.75)]
    assert "users of green alone" in command("list")[1]
    again = ("start", "blue", *words[2:])
    code, _, errors = command(*again, group="experiment")
    assert code == 1
    assert "track fast learns from the users of experiment green alone" in errors
    assert "blue" not in command.log.read()[1]
    assert command(*again, "--holdout", "--coverage", "0.1", group="experiment")[0] == 2
