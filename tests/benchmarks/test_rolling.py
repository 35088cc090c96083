"""What ``rolling`` counts as failed, and as a fault of the windows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from benchmarks.cluster.load import Asked
from benchmarks.harness.processes import ROOT
from benchmarks.harness.steps import Step
from benchmarks.rolling import __main__ as rolling
from benchmarks.rolling.measure import Outcome, tiling
from benchmarks.rolling.report import figures, show
from everfresh.contracts.event import Event
from everfresh.contracts.window import SliceClosed
from tests.benchmarks.short_run import short_run


def closed(label: int, start: int, end: int, rejected: int = 0) -> SliceClosed:
    return SliceClosed(1, 0, label, start, end, 0, end - start - rejected, rejected, "")


def test_slices_that_meet_are_right_however_often_they_were_written() -> None:
    log = [closed(1, 0, 4), closed(1, 0, 4), closed(2, 4, 9, rejected=2)]
    assert tiling([(0, each) for each in log] + [(1, closed(1, 0, 3))]) == (3, [])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (closed(2, 5, 9), "begins at 5, not 4"),
        (closed(2, 3, 9), "begins at 3, not 4"),
        (closed(1, 0, 5), "written again as another"),
        (msgspec.structs.replace(closed(2, 4, 9), events=6), "counts 6 events"),
    ],
)
def test_a_gap_an_overlap_another_content_and_a_double_count_are_faults(
    wrong: SliceClosed, said: str
) -> None:
    _, faults = tiling([(0, closed(1, 0, 4)), (0, wrong)])
    assert len(faults) == 1
    assert said in faults[0]


def outcome() -> Outcome:
    steps = [Step("both answer", 0.0, 5.0), Step("first restarted", 5.0, 9.0)]
    asked = [
        Asked(1.0, 0.002, 200, 3, "model"),
        Asked(6.0, 2.0, 0, 0, ""),
        Asked(7.0, 0.1, 503, 0, ""),
    ]
    return Outcome(steps, asked, 1, 7, 70, 4, ["a gap"])


def test_whatever_is_not_answered_with_200_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(outcome())
    assert (found["requests"], found["failed"], found["live_versions"]) == (3, 2, 1)
    assert (found["states_wrong"], found["states_compared"], found["window_faults"]) == (1, 14, 1)
    show(outcome())
    said = capsys.readouterr().out.splitlines()
    (row,) = [line for line in said if "first restarted" in line]
    assert [cell.strip() for cell in row.split("│")[3:5]] == ["2", "2"]
    assert said[-1] == "statuses of what failed: [0, 503]; faults: ['a gap']"


@pytest.mark.parametrize("older", [None, "another"])
def test_the_ratings_are_sent_to_the_build_that_was_named_and_the_figures_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: str | None
) -> None:
    data = tmp_path / "u.data"
    data.write_text("1\t7\t3\t881250949\n2\t7\t5\t881250950\n")
    seen: list[tuple[list[Event], Path]] = []

    def measured(folder: Path, events: Sequence[Event], calm_s: float, build: Path) -> Outcome:
        seen.append((list(events), build))
        time.sleep(0.1)  # seconds are told with one digit
        return outcome()

    monkeypatch.setattr(rolling, "measure", measured)
    options = ["--older", str(tmp_path / older)] if older else []
    assert short_run(rolling.main, tmp_path, "--data", str(data), *options)["failed"] == 2
    [(events, build)] = seen
    assert [event.user_id for event in events] == [1, 2]
    assert build == (tmp_path / older if older else ROOT)
