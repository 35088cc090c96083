"""``--check``: what it says of a file, and that it sends and keeps nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.infra import cli

T = 1_700_000_000
HEAD = "user_id,item_id,time,action\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(Interrupts, "install", lambda self: None)
    return tmp_path


def check(
    capsys: pytest.CaptureFixture[str], *words: str, command: str = "replay"
) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, *words, "--check"])
    assert isinstance(ended.value.code, int)
    return ended.value.code, *capsys.readouterr()


@pytest.mark.parametrize("command", ["replay", "evaluate"])
def test_it_says_what_would_be_read_and_what_was_guessed(
    here: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    rows = f"1,a,{T + 60},view\n2,b,{T},cart\n1,b,{T + 5},view\n"
    (here / "e.csv").write_text(HEAD + rows + HEAD)
    code, output, errors = check(capsys, "e.csv", "--rename", "cart=like", command=command)
    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        "e.csv: 1 csv",
        "guessed: --user user_id --item item_id --time time --type-column action --user-kind "
        "integer --item-kind text --time-unit s",
        "events   3 of 3 rows",
        "headers  1 came again between rows, and are left out",
        "times    2023-11-14 22:13:20 UTC to 2023-11-14 22:14:20 UTC; not in order: they are "
        "sorted before they are sent",
        "users    2 (integers)",
        "items    2 (text)",
        "types    view 2, like 1",
        "first    as events, without the ids that are made of them",
        f'  {{"type":"view","time":{T + 60}000,"user_id":1,"item_id":"a"}}',
        f'  {{"type":"like","time":{T}000,"user_id":2,"item_id":"b"}}',
        f'  {{"type":"view","time":{T + 5}000,"user_id":1,"item_id":"b"}}',
    ]


def test_integers_that_are_too_large_for_one_are_text_and_that_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f'{{"user_id": {2**64}, "item_id": 1, "time": {T}, "event": "view"}}\n'
    (here / "e.json").write_text(line)
    output = check(capsys, "e.json")[1]
    assert "--user-kind text" in output.splitlines()[1]
    assert "--item-kind" not in output
    assert f'"user_id":"{2**64}"' in output


def test_it_counts_what_is_wrong_by_reason_and_ends_as_a_replay_would(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = f"1,a,{T},view\n" * 8 + f"1,,{T},view\n1,a,{T},cart\n"
    (here / "e.csv").write_text(HEAD + rows)
    code, output, errors = check(capsys, "e.csv")
    assert code == 1
    assert "rejected 2 (missing_field 1, unknown_type 1); listed in" in output
    assert errors.startswith("error: e.csv line 10: missing_field: item_id is missing: found ''")
    assert errors.count("\n") == 1
    assert check(capsys, "e.csv", "--tolerate", "0.2")[0] == 0
    listed = (here / ".everfresh" / "rejects" / "e.csv.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in listed] == [10, 11]
    assert list((here / ".everfresh").iterdir()) == [here / ".everfresh" / "rejects"]


def test_a_mapping_file_says_what_options_do_and_options_count_more(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "e.csv").write_text(f"who;what;when\n1;a;{T}000\n")
    (here / "map.toml").write_text(
        'user = "who"\nitem = "what"\ntime = "when"\ntype_column = "what"\n'
        'user_kind = "text"\ntime_unit = "ms"\n[types]\na = "like"\n'
    )
    code, output, errors = check(capsys, "e.csv", "--mapping", "map.toml")
    assert (code, errors) == (0, "")
    assert f'{{"type":"like","time":{T}000,"user_id":"1","item_id":"a"}}' in output
    assert '"type":"view"' in check(capsys, "e.csv", "--mapping", "map.toml", "--type", "view")[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('usr = "a"', "map.toml: .*unknown field `usr`; it may have: user, item"),
        ("user = 7", "map.toml: Expected `str`, got `int` - at `\\$.user`"),
        ('time_unit = "days"', "Invalid enum value 'days'"),
        ('type = "a"\ntype_column = "b"', "name one"),
        ('encoding = "klingon"', "encoding is the name of one"),
        ('time_zone = "Moon"', "time_zone is UTC, a name"),
        ('delimiter = "ab"', "delimiter is one sign"),
        ("user = ", "map.toml is no TOML"),
    ],
)
def test_a_mapping_that_is_wrong_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (here / "e.csv").write_text(f"{HEAD}1,a,{T},view\n")
    (here / "map.toml").write_text(text)
    code, _, errors = check(capsys, "e.csv", "--mapping", "map.toml")
    assert code == 1
    assert errors.count("\n") == 1
    assert re.search(message, errors), errors


def test_no_file_of_the_users_is_taken_for_the_list(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{HEAD}1,a,{T},view\n1,,{T},view\n"
    (here / "e.csv").write_text(text)
    code, _, errors = check(capsys, "e.csv", "--rejects", "e.csv")
    assert code == 1
    assert "e.csv is there and is no list of rejected rows" in errors
    assert (here / "e.csv").read_text() == text


@pytest.mark.process
def test_a_name_or_an_option_that_is_no_utf_8_is_no_traceback(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "caf\udce9.csv"
    (here / name).write_text(f"{HEAD}1,a,{T},view\n")
    assert check(capsys, name)[0] == 0
    code, _, errors = check(capsys, name, "--user", "\udce9")
    assert code == 1
    assert "no column" in errors
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", name, "--user", "user_id", "--windows", "2"])
    assert ended.value.code == 1
    assert "caf" in capsys.readouterr().err


def test_a_published_file_is_checked_as_well(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "ratings.dat").write_text("1::5::4::978300760\n2::5::4::978300000\n")
    code, output, _ = check(capsys, "ratings.dat")
    assert code == 0
    assert output.startswith("ratings.dat: ml-1m\nevents   2 of 2 rows\n")
