"""The demo's result: a flat report, and the same as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

from everfresh.adapters.files.drifting.writing import Ceiling
from everfresh.contracts.report import WindowReport
from everfresh.infra.cli.views.live_screen import COLOURS, NAMES
from everfresh.infra.cli.views.scores import (
    CONTENDERS,
    GROUPS,
    METRICS,
    group_size,
    score_figures,
    scored,
)
from everfresh.infra.cli.views.tables import described, new_table
from everfresh.infra.cli.views.text import milliseconds, score, seconds


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


def build_report(
    windows: Sequence[WindowReport], counts: Counts, ceiling: Ceiling | None = None
) -> dict[str, Any]:
    """One flat object. ``events`` counts trained events, each in exactly one of ``windows``; the
    scores are means over the ``scored_events`` of the windows on which all were measured. Of a
    made-up stream, the ``ceiling`` of one who knows its law is over all events.
    """
    kept = scored(windows)
    return {
        "events": sum(report.events for report in windows),
        "windows": len(windows),
        "versions": len({report.version for report in windows}),
        **_rounded(score_figures(windows), 5),
        **({"hr10_ceiling": ceiling.hr10, "ndcg10_ceiling": ceiling.ndcg10} if ceiling else {}),
        "scored_windows": len(kept),
        "scored_events": sum(report.events for report in kept),
        **{f"{group}_events": sum(map(group_size(group), kept)) for group in GROUPS},
        **_rounded(msgspec.structs.asdict(counts), 3),
    }


def report_table(report: dict[str, Any], *, repeats: bool = False) -> RenderableType:
    """Quality of all contenders, the same by groups of events, then the figures of the loop.

    ``repeats`` says that users come back to items, so that seen ones were ranked too.
    """
    heads = [f"{metric.upper().replace('10', '@10')} ↑" for metric in METRICS]
    quality = _contenders(report, heads, METRICS)
    if "hr10_ceiling" in report:
        ceiling = [score(report[f"{metric}_ceiling"]) for metric in METRICS]
        quality.add_row("who knows the stream's law", *ceiling, style="dim")
    heads = [f"{group} ({report[f'{group}_events']:,}) ↑" for group in GROUPS]
    groups = _contenders(report, heads, [f"{group}_hr10" for group in GROUPS])
    about = (
        f"Means over {report['scored_events']:,} events in {report['scored_windows']} windows. For "
        f"each event, all items{'' if repeats else ' that are new to its user'} are ranked. HR@10 "
        "is the share of events whose item was among the ten ranked highest; NDCG@10 also counts "
        "how high. ↑ more is better, ↓ less is better."
    )
    about_groups = (
        "HR@10 over events of a kind, with their number. By place: the first event that is known "
        "of a user, the second, later ones. By age of the item, from the third window on: fresh, "
        "first seen in the window before, and older."
    )
    loop = new_table("the loop", "", right=("",))
    for row in _loop_rows(report):
        loop.add_row(*row)
    title = "Quality: each window scored before training on it"
    by_group = described("HR@10 by place of the event and age of its item", groups, about_groups)
    return Group("", described(title, quality, about), by_group, loop, "")


def _contenders(report: dict[str, Any], heads: Sequence[str], metrics: Sequence[str]) -> Table:
    table = new_table("contender", *heads, right=tuple(heads))
    for name in CONTENDERS:
        cells = [score(report[f"{metric}_{name}"]) for metric in metrics]
        style = f"bold {COLOURS[name]}" if name == "live" else COLOURS[name]
        table.add_row(NAMES[name], *cells, style=style)
    return table


def _loop_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    fresh = f"{seconds(report['freshness_p50_s'])} / {seconds(report['freshness_p99_s'])}"
    requests = f"{report['requests']:,} / {report['failed_requests']}"
    took = f"{milliseconds(report['request_p50_ms'])} / {milliseconds(report['request_p99_ms'])}"
    return [
        ("events trained / not accepted ↓", f"{report['events']:,} / {report['dead_letters']:,}"),
        ("windows / versions of the weights", f"{report['windows']} / {report['versions']}"),
        ("event to live on every replica ↓, p50 / p99", fresh),
        ("requests meanwhile / failed ↓", requests),
        ("time of a request ↓, p50 / p99", took),
        (
            "time of the start / of the replay",
            f"{report['startup_s']:.1f} s / {report['replay_s']:.1f} s",
        ),
    ]


def _rounded(figures: dict[str, Any], digits: int) -> dict[str, Any]:
    return {
        name: round(value, digits) if isinstance(value, float) else value
        for name, value in figures.items()
    }
