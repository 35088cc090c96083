"""``everfresh evaluate``: its figures from lines, and one small run through the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from everfresh.evaluation.results import Margin, WindowScore, decode_line
from everfresh.evaluation.summary import collect
from tests.infra.cli.command import everfresh


def line(name: str, window: int, events: int, hr10: float | None, fresh: int = 0) -> WindowScore:
    scores = {} if hr10 is None else {"hr10": hr10}
    young = {"hr10": 2 * hr10} if fresh and hr10 is not None else {}
    return WindowScore(name, window, 3, events, fresh, scores, young, 0.5, 100)


def test_means_are_over_events_and_the_first_window_counts_for_cost_alone() -> None:
    gap = Margin("replay", "hr10", 0.2, 0.1, 0.3, 7, "frozen")
    result = collect(
        [
            line("frozen", 0, 50, None),
            line("frozen", 1, 10, 0.1, fresh=1),
            line("frozen", 2, 30, 0.3, fresh=3),
            line("replay", 0, 50, None),
            line("replay", 1, 10, 0.2),
            line("replay", 2, 30, 0.4),
            gap,
        ]
    )
    assert (result.events, result.fresh_events, result.windows) == (40, 4, 3)
    frozen, replay = result.contenders["frozen"], result.contenders["replay"]
    assert math.isclose(frozen.scores["hr10"], (10 * 0.1 + 30 * 0.3) / 40)
    assert math.isclose(frozen.fresh["hr10"], (1 * 0.2 + 3 * 0.6) / 4)
    assert (replay.train_s, replay.tokens, replay.margins) == (1.5, 300, {"hr10": gap})
    assert replay.fresh == {}


def test_a_line_of_something_else_is_left_out() -> None:
    assert decode_line(b"Loading ...") is None
    assert decode_line(b'{"type": "elsewhere"}') is None


@pytest.mark.process
def test_a_run_prints_its_table_and_writes_figures_and_plot(tmp_path: Path) -> None:
    rows = [
        {"type": "view", "user_id": n % 5, "item_id": (n // 5) % 9, "time": 1_700_000_000_000 + n}
        for n in range(150)
    ]
    (tmp_path / "small.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    options = (
        "--strategies frozen,finetune --against finetune --windows 4 --json out.json --plot out.png"
    )
    settings = {"EVERFRESH_MODEL__DIM": "8", "EVERFRESH_MODEL__BLOCKS": "1"}
    words = ["evaluate", "small.jsonl", "--format", "jsonl", *options.split()]
    code, output, errors = everfresh(*words, cwd=tmp_path, **settings)
    assert (code, errors) == (0, "")
    assert "more is better" in output
    assert "Compared with finetune, user by user" in output
    for name in ("frozen", "popularity", "markov", "vmis-knn"):
        assert f"  {name}, HR@10: " in output
        assert f"  {name}, NDCG@10: " in output
    assert "  finetune, HR@10: " not in output
    written = json.loads((tmp_path / "out.json").read_text())
    names = ["frozen", "finetune", "finetune (network)", "popularity", "markov", "vmis-knn"]
    assert list(written["contenders"]) == names
    assert written["events"] == 150 - 38
    assert written["fresh_events"] == 5  # one of nine items first appears in the second window
    assert "fresh (5)" in output
    groups = written["contenders"]["vmis-knn"]["groups"]
    assert {name: group["events"] for name, group in groups.items()} == {
        "first": 0,
        "second": 0,
        "later": 112,
        "fresh": 5,
        "older": 69,
    }
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.process
def test_a_table_is_evaluated_and_what_was_left_out_is_said(tmp_path: Path) -> None:
    rows = [f"{n % 5},{(n // 5) % 9},{1_700_000_000 + n}\n" for n in range(60)]
    (tmp_path / "e.csv").write_text("user_id,item_id,time\n" + "".join(rows) + "1,,1700000000\n")
    words = ["evaluate", "e.csv", "--type", "view", "--windows", "3", "--strategies", "frozen"]
    settings = {"EVERFRESH_MODEL__DIM": "8", "EVERFRESH_MODEL__BLOCKS": "1"}
    code, output, errors = everfresh(*words, "--tolerate", "0.1", cwd=tmp_path, **settings)
    assert (code, errors) == (0, "")
    assert "guessed: --user user_id --item item_id --time time" in output
    assert "1 of 61 rows were left out: see" in output
    assert "60 events" not in output
    assert "e.csv: 40 events in 2 windows" in output


@pytest.mark.process
def test_a_strategy_that_is_unknown_or_does_not_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "small.jsonl").write_text(
        '{"type": "view", "user_id": 1, "item_id": 2, "time": 1700000000000}\n' * 9
    )
    words = ["evaluate", "small.jsonl", "--format", "jsonl", "--windows", "2"]
    code, _, errors = everfresh(*words, "--strategies", "frozen,luck", cwd=tmp_path)
    assert code == 1
    assert errors.startswith("error: no strategy 'luck'; there are frozen, finetune")
    words += ["--strategies", "finetune", "--against", "retrain"]
    code, _, errors = everfresh(*words, cwd=tmp_path)
    assert code == 1
    assert errors.startswith("error: no contender 'retrain' to hold others against; there run fine")
