"""The demo's report and its tables. Pure."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from everfresh.adapters.files.drifting.writing import Ceiling
from everfresh.contracts.report import WindowReport
from everfresh.infra.cli.demo.plot import draw
from everfresh.infra.cli.demo.report import Counts, build_report, report_table
from everfresh.infra.cli.kept_results import write_figures
from everfresh.infra.cli.views.freshness import LiveVersions
from everfresh.infra.cli.views.live_screen import Snapshot, plain_line, render
from everfresh.infra.cli.views.scores import CONTENDERS
from tests.infra.cli.reports import window

COUNTS = Counts(400, 1, 50, 2, 4.25, 9.0, 1.23456, 2.5, 20.0, 100.0, 130.0)


NAMED = {
    *("events", "windows", "versions", "dead_letters", "failed_requests", "seconds"),
    *(f"{metric}_{name}" for metric in ("hr10", "ndcg10") for name in CONTENDERS),
    *("freshness_p50_s", "freshness_p99_s"),
}


def test_the_report_is_flat_and_holds_the_named_figures(tmp_path: Path) -> None:
    report = build_report([window(1, 100), window(2, 300)], COUNTS)
    assert set(report) >= NAMED
    assert report["events"] == 400
    assert report["windows"] == report["versions"] == 2
    assert report["scored_events"] == 300
    assert report["freshness_p50_s"] == 1.235
    assert all(isinstance(value, (int, float)) for value in report.values())
    write_figures(tmp_path / "report.json", report)
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_the_ceiling_of_a_made_up_stream_stands_beside_the_contenders() -> None:
    ceiling = Ceiling(events=10, hits=8, gain=5.5)
    report = build_report([window(1, 100), window(2, 300)], COUNTS, ceiling)
    assert (report["hr10_ceiling"], report["ndcg10_ceiling"]) == (0.8, 0.55)
    console = Console(width=100, record=True, file=StringIO())
    console.print(report_table(report, repeats=True))
    text = " ".join(console.export_text().split())
    assert "who knows the stream's law 0.8000 0.5500" in text
    assert "For each event, all items are ranked." in text


def snapshot(windows: list[WindowReport]) -> Snapshot:
    versions = {"replica-a": 2, "replica-b": 3}
    return Snapshot(*("t", "replaying", 12.0, 10, 100, 5.0, 3, windows, 1, 0, versions, None, 2.0))


@pytest.mark.parametrize("windows", [[], [window(1)], [window(1), window(2), window(3)]])
def test_the_views_draw_every_state_of_a_run(windows: list[WindowReport], tmp_path: Path) -> None:
    console = Console(width=100, record=True, file=(tmp_path / "out").open("w"))
    console.print(render(snapshot(windows)))
    console.print(report_table(build_report(windows, COUNTS)))
    text = console.export_text()
    console.file.close()
    assert "windows trained" in text
    assert "last-item Markov" in text
    assert "VMIS-kNN" in text
    assert "10/100 events" in plain_line(snapshot(windows))
    live = LiveVersions(1)
    live.seen("a", 5, 3, 5)
    draw(windows, live, "title", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
