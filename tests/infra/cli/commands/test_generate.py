"""``everfresh generate``: what it writes and prints, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.infra import cli

Run = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Interrupts, "install", lambda self: None)


def generate(*words: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["generate", *words])
    return ended.value.code


def test_it_writes_the_file_and_says_what_was_made(capsys: Run) -> None:
    options = ["--events", "200", "--bots", "0.3", "--start", "2024-02-29T12:00", "--seed", "5"]
    assert generate("made.jsonl", *options, "--set", "half_life_hours=1") == 0
    lines = [json.loads(line) for line in Path("made.jsonl").read_text().splitlines()]
    assert len(lines) == 200
    assert lines[0]["time"] // 60_000 == 1_709_208_000_000 // 60_000
    said = capsys.readouterr().out
    users = len({line["user_id"] for line in lines})
    items = len({line["item_id"] for line in lines})
    assert "200 events are in made.jsonl; " in said
    assert f"{users} users, {items} items, 2024-02-29 12:00 to 2024-02-29 12:0" in said
    assert f"{users / 200:.1%} of the clicks are their user's first" in said
    assert len(re.findall(r"HR@10 0\.\d{3}, NDCG@10 0\.\d{3} by one who knows the law", said)) == 2
    assert "everfresh evaluate made.jsonl --format jsonl" in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--events", "0"], 2, "--events"),
        (["--seed", "-1"], 2, "--seed"),
        (["--seed", "9" * 30], 2, "--seed"),
        (["--bots", "nan"], 2, "--bots"),
        (["--bots", "1"], 2, "--bots"),
        (["--start", "yesterday"], 2, "--start: 'yesterday' is not a time; write it like"),
        (["--start", "1969-01-01"], 1, "start_ms of a drifting stream is a whole number from 0"),
        (["--start", "9000-01-01"], 1, "event 1 of the stream would not be accepted: in_the_fut"),
        (["--set", "links"], 2, "--set: 'links' is not NAME=VALUE"),
        (["--set", "seed=3"], 2, "seed has an option of its own: --seed"),
        (["--set", "speed=3"], 1, "no setting 'speed'; it has "),
        (["--set", "links=0"], 1, "links of a drifting stream is a whole number from 1 to 20"),
        (["--set", f"links={'9' * 5000}"], 1, "links of a drifting stream is a whole number"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(
    words: list[str], code: int, message: str, capsys: Run
) -> None:
    assert generate("new.jsonl", *words) == code
    output, errors = capsys.readouterr()
    assert not output
    assert message in errors
    if code == 1:
        assert errors.count("\n") == 1
    assert list(Path().iterdir()) == []
