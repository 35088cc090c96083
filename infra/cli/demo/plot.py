"""The demo's picture: quality per window for four contenders, and how fresh the answers were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from everfresh.contracts.report import WindowReport
from everfresh.infra.cli.views.curves import End, name_end, name_ends, new_figure, save, tidy
from everfresh.infra.cli.views.figures import CONTENDERS, mean_score, scored, smoothed
from everfresh.infra.cli.views.freshness import LiveVersions, weighted_quantile, window_freshness

_COLOURS = {
    "live": "#0b7a4b",
    "frozen": "#2b6cb0",
    "popularity": "#b7791f",
    "markov": "#9b3d8f",
}
_NAMES = {
    "live": "live model",
    "frozen": "frozen at v1",
    "popularity": "popularity",
    "markov": "last-item Markov",
}
_TITLES = {"hr10": "HR@10", "ndcg10": "NDCG@10"}
_SPAN = 7


def draw(windows: Sequence[WindowReport], live: LiveVersions, title: str, path: Path) -> None:
    """Write a PNG; ``windows`` in the order in which they were trained."""
    figure = new_figure(11, 6.6)
    grid = figure.add_gridspec(2, 2, height_ratios=[1.6, 1.0])
    kept = scored(windows)
    for column, metric in enumerate(_TITLES):
        _quality(figure.add_subplot(grid[0, column]), kept, metric)
    _freshness(figure.add_subplot(grid[1, :]), windows, live)
    _titles(figure, title)
    save(figure, path)


def _titles(figure: Figure, title: str) -> None:
    figure.suptitle(
        f"{title}\n", x=0.01, ha="left", fontsize=13, fontweight="bold", linespacing=0.5
    )


def _quality(axes: Axes, kept: Sequence[WindowReport], metric: str) -> None:
    numbers = [one.version for one in kept]
    weights = [float(one.events) for one in kept]
    ends: list[tuple[float, str]] = []
    # The live model is drawn last, on top.
    for name in reversed(CONTENDERS):
        raw = [one.scores[name][metric] for one in kept]
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
    axes.set_title(
        f"{_TITLES[metric]} per window, before training on it (figures: mean)",
        loc="left",
        fontsize=10.5,
    )
    axes.set_xlabel("window")
    tidy(axes)


def _freshness(axes: Axes, windows: Sequence[WindowReport], live: LiveVersions) -> None:
    numbers, middle, worst = [], [], []
    for one in windows:
        samples = window_freshness(one, live)
        p50, p99 = weighted_quantile(samples, 0.5), weighted_quantile(samples, 0.99)
        if p50 is not None and p99 is not None:
            numbers.append(one.version)
            middle.append(p50)
            worst.append(p99)
    colour = _COLOURS["live"]
    axes.fill_between(numbers, middle, worst, color=colour, alpha=0.14, linewidth=0)
    axes.plot(numbers, worst, color=colour, linewidth=1.0, alpha=0.6)
    axes.plot(numbers, middle, color=colour, linewidth=2.2)
    for name, curve in (("p50", middle), ("p99", worst)):
        if curve:
            name_end(axes, End(curve[-1], name, colour, name == "p50"))
    axes.set_ylim(bottom=0)
    axes.set_title(
        "seconds from an event's append to a version trained on it, live on every replica",
        loc="left",
        fontsize=10.5,
    )
    axes.set_xlabel("window")
    axes.set_ylabel("s")
    tidy(axes)
