"""The demo's plot: quality per window for four contenders, and the time from event to live."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from everfresh.contracts.report import WindowReport
from everfresh.infra.cli.views.freshness import LiveVersions, weighted_quantile, window_freshness
from everfresh.infra.cli.views.plot_style import (
    End,
    name_ends,
    new_figure,
    save,
    tidy,
    title_and_note,
)
from everfresh.infra.cli.views.scores import CONTENDERS, mean_score, scored, smoothed

_COLOURS = {
    "live": "#0b7a4b",
    "frozen": "#2b6cb0",
    "popularity": "#b7791f",
    "markov": "#9b3d8f",
    "vmis-knn": "#8c564b",
}
_NAMES = {
    "live": "live model",
    "frozen": "frozen at v1",
    "popularity": "popularity of lately",
    "markov": "last-item Markov of lately",
    "vmis-knn": "VMIS-kNN",
}
_TITLES = {
    "hr10": "HR@10: share of events with the item in the top ten",
    "ndcg10": "NDCG@10: also counts how high it stands",
}
_SPAN = 7


def draw(windows: Sequence[WindowReport], live: LiveVersions, title: str, path: Path) -> None:
    """Write a PNG; ``windows`` in the order in which they were trained."""
    figure = new_figure(11, 6.6)
    grid = figure.add_gridspec(2, 2, height_ratios=[1.6, 1.0])
    kept = scored(windows)
    for column, metric in enumerate(_TITLES):
        _quality(figure.add_subplot(grid[0, column]), kept, metric)
    _freshness(figure.add_subplot(grid[1, :]), windows, live)
    note = (
        "Each window is scored before training on it. Thin lines: single windows; thick lines: "
        f"mean of the {_SPAN} around each. The figure after a name is its mean over all windows."
    )
    title_and_note(figure, title, note)
    save(figure, path)


def _quality(axes: Axes, kept: Sequence[WindowReport], metric: str) -> None:
    ends: list[tuple[float, str]] = []
    # The live model is drawn last, on top.
    for name in reversed(CONTENDERS):
        told = [report for report in kept if metric in report.scores.get(name, {})]
        numbers = [report.version for report in told]
        weights = [float(report.events) for report in told]
        raw = [report.scores[name][metric] for report in told]
        curve = smoothed(raw, weights, _SPAN)
        width = 2.4 if name == "live" else 1.6
        axes.plot(numbers, raw, color=_COLOURS[name], alpha=0.22, linewidth=0.9)
        axes.plot(numbers, curve, color=_COLOURS[name], linewidth=width, solid_capstyle="round")
        if curve:
            ends.append((curve[-1], name))
    axes.set_ylim(bottom=0)
    named = [
        End(
            value,
            f"{_NAMES[name]}  {mean_score(kept, name, metric):.3f}",
            _COLOURS[name],
            name == "live",
        )
        for value, name in ends
    ]
    name_ends(axes, named)
    axes.set_title(f"{_TITLES[metric]}; higher is better", loc="left", fontsize=10.5)
    axes.set_xlabel("window")
    tidy(axes)


def _freshness(axes: Axes, windows: Sequence[WindowReport], live: LiveVersions) -> None:
    numbers, middle, worst = [], [], []
    for report in windows:
        samples = window_freshness(report, live)
        p50, p99 = weighted_quantile(samples, 0.5), weighted_quantile(samples, 0.99)
        if p50 is not None and p99 is not None:
            numbers.append(report.version)
            middle.append(p50)
            worst.append(p99)
    colour = _COLOURS["live"]
    axes.fill_between(numbers, middle, worst, color=colour, alpha=0.14, linewidth=0)
    axes.plot(numbers, worst, color=colour, linewidth=1.0, alpha=0.6)
    axes.plot(numbers, middle, color=colour, linewidth=2.2)
    axes.set_ylim(bottom=0)
    curves = (("p50 (median event)", middle), ("p99 (slowest 1 %)", worst))
    ends = [End(curve[-1], name, colour, curve is middle) for name, curve in curves if curve]
    name_ends(axes, ends)
    axes.set_title(
        "Time from an event until a version with it is live on every replica; lower is better",
        loc="left",
        fontsize=10.5,
    )
    axes.set_xlabel("window")
    axes.set_ylabel("seconds")
    tidy(axes)
