"""``everfresh scaling-law``: a small run through the command line, and what it shows."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import msgspec
import pytest

from everfresh.evaluation.scaling.findings import findings
from everfresh.evaluation.scaling.lines import Findings
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.scaling.plot import draw
from everfresh.infra.cli.views.scaling.tables import parts
from everfresh.infra.cli.views.text import duration
from tests.evaluation.scaling.grids import entropies, made_up, plan_of
from tests.infra.cli.command import everfresh


def found(budget: float = 0.0, *, law: bool = True) -> Findings:
    cells = made_up(lambda n, d: 5 + 30 * n**-0.35 + 200 * d**-0.5 if law else 7.0, 0.0005, 4, 4)
    return findings(plan_of(cells), cells, entropies(cells), budget, 3)


def shown(result: Findings) -> str:
    console = Terminal(file=io.StringIO(), width=200)
    for part in parts(result):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return " ".join(text.split())


def test_a_law_that_holds_is_shown_with_what_it_predicted_and_advice() -> None:
    text = shown(found())
    for words in ("held out", "corner", "performance law", "log-linear", "popularity"):
        assert words in text
    assert "beyond the largest training" in text
    assert "not used beyond" not in text
    assert "Advice for this stream: size 96x3 (model.dim = 96, model.blocks = 3)" in text
    assert "try larger ones than 96x3" in text


def test_a_law_that_does_not_hold_says_so_and_predicts_nothing() -> None:
    text = shown(found(law=False))
    assert "It is not used beyond what was measured: the interval of alpha" in text or (
        "It is not used beyond what was measured: over what was measured, size" in text
    )
    assert "beyond the largest training" not in text
    assert "The lowest loss of all" in text or "Advice for this stream: size 16x1" in text


def test_advice_names_the_time_it_keeps_to_and_what_does_not_fit() -> None:
    assert "within 8 s: size 64x2" in shown(found(8.0))
    assert "Nothing was trained within 1 s. The cheapest is size 16x1" in shown(found(1e-6))


def test_a_plot_is_drawn_of_a_law_and_of_none(tmp_path: Path) -> None:
    for name, law in (("law", True), ("none", False)):
        draw(found(law=law), "a title with $ and \\", tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_durations_are_in_the_unit_that_fits() -> None:
    told = [duration(value) for value in (0.1, 90.0, 150.0, 7_199.0, 9_000.0)]
    assert told == ["1 s", "90 s", "2.5 minutes", "120.0 minutes", "2.5 hours"]


@pytest.mark.process
def test_a_grid_is_run_from_a_file_and_a_second_run_trains_nothing(tmp_path: Path) -> None:
    rng = random.Random(3)
    rows = [
        {
            "type": "view",
            "user_id": rng.randrange(80),
            "item_id": min(rng.randrange(1, 30), rng.randrange(1, 30)),
            "time": 1_700_000_000_000 + n,
        }
        for n in range(6_000)
    ]
    (tmp_path / "small.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    words = [
        "scaling-law",
        "small.jsonl",
        "--format",
        "jsonl",
        "--sizes",
        "4x1,8x1,8x2,16x1",
        "--passes",
        "1",
    ]
    settings = {"EVERFRESH_MODEL__MAX_LENGTH": "32", "EVERFRESH_TRAINER__BATCH_TOKENS": "4096"}
    results = ("--json", "out.json", "--plot", "out.png")
    code, output, errors = everfresh(*words, *results, cwd=tmp_path, **settings)
    assert (code, errors) == (0, "")
    assert "32 trainings: 4 sizes (4x1, 8x1, 8x2, 16x1)" in output
    assert "32 are left: " in output
    assert "Advice for this stream: size" in output
    found = msgspec.json.decode((tmp_path / "out.json").read_bytes(), type=Findings)
    assert len(found.cells) == 32
    assert all(0 < cell.loss < 30 for cell in found.cells)
    assert (tmp_path / "out.png").stat().st_size > 10_000
    kept = list((tmp_path / ".everfresh" / "scaling-law" / "small.jsonl").glob("*.json"))
    assert len(kept) == 32
    code, output, errors = everfresh(*words, "--check", cwd=tmp_path, **settings)
    assert (code, errors) == (0, "")
    assert "32 of them are kept from before" in output
    assert "are left" not in output
