"""The demo's result: the flat report, and the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from everfresh.contracts.report import WindowReport
from everfresh.infra.cli.views.figures import CONTENDERS, FRESH, METRICS, score_figures, scored
from everfresh.infra.cli.views.live import COLOURS, NAMES, figure, seconds


class Counts(msgspec.Struct, frozen=True):
    """What the demo counted beside the window reports; times in seconds."""

    replayed: int
    dead_letters: int
    requests: int
    failed_requests: int
    request_p50_ms: float | None
    request_p99_ms: float | None
    freshness_p50_s: float | None
    freshness_p99_s: float | None
    startup_s: float
    replay_s: float
    seconds: float


def build_report(windows: Sequence[WindowReport], counts: Counts) -> dict[str, Any]:
    """One flat object. ``events`` counts trained events, each in exactly one of ``windows``; the
    scores are means over the ``scored_events`` of the windows on which all were measured."""
    kept = scored(windows)
    return {
        "events": sum(one.events for one in windows),
        "windows": len(windows),
        "versions": len({one.version for one in windows}),
        **_rounded(score_figures(windows), 5),
        "scored_windows": len(kept),
        "scored_events": sum(one.events for one in kept),
        "fresh_events": sum(one.fresh for one in kept),
        **_rounded(msgspec.structs.asdict(counts), 3),
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Indented JSON, replaced as a whole."""
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    new.replace(path)


def report_table(report: dict[str, Any]) -> RenderableType:
    """Quality of the four contenders, then the figures of the loop."""
    quality = Table(title="Prequential quality", title_justify="left", title_style="bold")
    quality.add_column("contender")
    for metric in METRICS:
        quality.add_column(metric.upper().replace("10", "@10"), justify="right")
    quality.add_column("HR@10 fresh", justify="right")
    for name in CONTENDERS:
        cells = [figure(report[f"{metric}_{name}"]) for metric in (*METRICS, FRESH)]
        style = f"bold {COLOURS[name]}" if name == "live" else COLOURS[name]
        quality.add_row(NAMES[name], *cells, style=style)
    about = (
        f"Means over {report['scored_events']:,} events in {report['scored_windows']} windows; all "
        "items new to the user are ranked, and each window is scored before it is trained on. "
        f"Fresh: {report['fresh_events']:,} events on items younger than one window."
    )
    loop = Table(show_header=False)
    loop.add_column(style="dim")
    loop.add_column(justify="right")
    for row in _loop_rows(report):
        loop.add_row(*row)
    return Group(quality, Text(about, "dim"), loop)


def _loop_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    fresh = f"{seconds(report['freshness_p50_s'])} / {seconds(report['freshness_p99_s'])}"
    asked = f"{report['requests']:,}, {report['failed_requests']} failed"
    took = f"{figure_ms(report['request_p50_ms'])} / {figure_ms(report['request_p99_ms'])}"
    return [
        ("events trained / dead letters", f"{report['events']:,} / {report['dead_letters']:,}"),
        ("windows / versions", f"{report['windows']} / {report['versions']}"),
        ("event to served on every replica, p50 / p99", fresh),
        ("requests meanwhile", asked),
        ("request time p50 / p99", took),
        ("start / replay", f"{report['startup_s']:.1f} s / {report['replay_s']:.1f} s"),
    ]


def figure_ms(value: float | None) -> str:
    """Milliseconds, or a dash."""
    return "-" if value is None else f"{value:.0f} ms"


def _rounded(figures: dict[str, Any], digits: int) -> dict[str, Any]:
    return {
        name: round(value, digits) if isinstance(value, float) else value
        for name, value in figures.items()
    }
