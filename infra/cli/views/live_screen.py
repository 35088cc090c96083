"""The live screen of a run, drawn from a snapshot. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from everfresh.contracts.report import WindowReport
from everfresh.infra.cli.terminal import styled
from everfresh.infra.cli.views.scores import CONTENDERS, mean_score, scored
from everfresh.infra.cli.views.text import MISSING, score, seconds

COLOURS = {
    "live": "green",
    "frozen": "cyan",
    "popularity": "yellow",
    "markov": "magenta",
    "vmis-knn": "blue",
}
NAMES = {
    "live": "live model",
    "frozen": "frozen at version 1",
    "popularity": "popularity of lately",
    "markov": "last-item Markov of lately",
    "vmis-knn": "VMIS-kNN, by the click",
}
_BARS = "▁▂▃▄▅▆▇█"
_CURVE = 24


class Snapshot(msgspec.Struct, frozen=True):
    """What the screen shows. Rates per second, times in seconds; ``None`` where not known yet."""

    title: str
    phase: str
    elapsed_s: float
    sent: int
    total: int
    events_per_s: float
    lag: int
    windows: Sequence[WindowReport]
    backlog: int
    dead_letters: int
    versions: dict[str, int]
    freshness_p50_s: float | None
    freshness_p99_s: float | None
    requests: int = 0
    failed_requests: int = 0
    request_p50_ms: float | None = None
    trained: int | None = None
    """Windows in all, where ``windows`` are the last ones alone."""

    @property
    def windows_trained(self) -> int:
        """All of them."""
        return len(self.windows) if self.trained is None else self.trained


def render(now: Snapshot) -> RenderableType:
    """The whole screen."""
    loop, quality = (
        Panel(body, title=title, border_style="blue", padding=(0, 1), expand=False)
        for title, body in (
            ("the loop", _loop(now)),
            ("quality: each window scored before training on it", _quality(now.windows)),
        )
    )
    return Group(_head(now), Columns([loop, quality], padding=(0, 1)))


def plain_line(now: Snapshot) -> str:
    """The same in one line, for output that is not a terminal."""
    scores = score_words(now.windows)
    versions = "/".join(str(version) for version in now.versions.values()) or MISSING
    sent = f"{now.sent:,}/{now.total:,} events, " if now.total else ""
    requests = f", requests {now.requests} ({now.failed_requests} failed)" if now.requests else ""
    return (
        f"{now.elapsed_s:6.1f} s  {now.phase}: {sent}{now.events_per_s:,.0f}/s, "
        f"lag {now.lag:,}, windows trained {now.windows_trained}, version by replica {versions}, "
        f"event to live p50 {seconds(now.freshness_p50_s)} p99 {seconds(now.freshness_p99_s)}"
        f"{requests}{scores}"
    )


def score_words(windows: Sequence[WindowReport]) -> str:
    """``, mean HR@10 live .123 …``, or nothing before the first scored window."""
    kept = scored(windows)
    if not kept:
        return ""
    words = " ".join(f"{name} {score(mean_score(kept, name, 'hr10'))}" for name in CONTENDERS)
    return f", mean HR@10 {words}"


def sparkline(values: Sequence[float], top: float, width: int = _CURVE) -> str:
    """The last ``width`` values as bars; ``top`` is the value of a full bar."""
    if top <= 0:
        return _BARS[0] * min(len(values), width)
    steps = len(_BARS) - 1
    return "".join(_BARS[round(min(1.0, value / top) * steps)] for value in values[-width:])


def _head(now: Snapshot) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column()
    grid.add_column(ratio=1)
    grid.add_column(justify="right")
    done = ProgressBar(total=max(now.total, 1), completed=now.sent)
    events = f"{now.sent:,} of {now.total:,} events" if now.total else ""
    grid.add_row(
        styled((now.title, "bold"), f"  {now.phase}"),
        done if now.total else "",
        styled((f"{events}  {now.elapsed_s:5.0f} s", "dim")),
    )
    return grid


def _loop(now: Snapshot) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(justify="right", min_width=20)
    versions = [
        styled(f"{name[-6:]} ", (str(version), "bold")) for name, version in now.versions.items()
    ]
    p50, p99 = seconds(now.freshness_p50_s), seconds(now.freshness_p99_s)
    rows: list[tuple[str, str | Text]] = [
        ("events/s", styled((f"{now.events_per_s:,.0f}", "bold"))),
        ("lag, 0 is best", f"{now.lag:,} events"),
        ("windows trained", styled((str(now.windows_trained), "bold"), _behind(now.backlog))),
        ("version by replica", styled("  ").join(versions) if versions else MISSING),
        ("event to live, p50 / p99", styled((p50, "bold"), f" / {p99}")),
        ("requests", _requests(now)),
        ("dead letters", f"{now.dead_letters:,}"),
    ]
    for name, value in rows:
        grid.add_row(name, value)
    return grid


def _behind(backlog: int) -> tuple[str, str]:
    return (f" (+{backlog} waiting)" if backlog else "", "dim")


def _requests(now: Snapshot) -> Text:
    took = "" if now.request_p50_ms is None else f" p50 {now.request_p50_ms:.0f} ms"
    failed = (f"{now.failed_requests} failed", "bold red" if now.failed_requests else "green")
    return styled(f"{now.requests:,}, ", failed, (took, "dim"))


def _quality(windows: Sequence[WindowReport]) -> RenderableType:
    kept = scored(windows)
    curves = {
        name: [report.scores[name]["hr10"] for report in kept if name in report.scores]
        for name in CONTENDERS
    }
    top = max((value for curve in curves.values() for value in curve[-_CURVE:]), default=0.0)
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    for _ in range(2):
        grid.add_column(justify="right")
    grid.add_column(min_width=_CURVE)
    heads = ("more is better", "HR@10", "NDCG@10", "HR@10 by window")
    grid.add_row(*(styled((head, "dim")) for head in heads))
    for name in CONTENDERS:
        weight = "bold " if name == "live" else ""
        grid.add_row(
            styled((NAMES[name], COLOURS[name])),
            styled((score(mean_score(kept, name, "hr10")), weight + COLOURS[name])),
            styled((score(mean_score(kept, name, "ndcg10")), weight + COLOURS[name])),
            styled((sparkline(curves[name], top), COLOURS[name])),
        )
    return grid
