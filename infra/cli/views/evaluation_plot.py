"""The picture of an evaluation: quality per window, on all items and fresh ones, and its price."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from everfresh.evaluation.summary import ContenderFigures, Evaluation
from everfresh.infra.cli.views.curves import End, name_ends, new_figure, save, tidy
from everfresh.infra.cli.views.figures import smoothed

_COLOURS = ("#2b6cb0", "#0b7a4b", "#c53030", "#6b46c1", "#00808a", "#b83280", "#4a5568")
_BASELINES = {"popularity": "#b7791f", "markov": "#8d6e63"}
_SPAN = 5
"""Windows that a point is the mean of, where there are more than twice as many."""
_WIDE = 20


def draw(found: Evaluation, title: str, path: Path) -> None:
    """Write a PNG."""
    figure = new_figure(12, 7.6)
    grid = figure.add_gridspec(2, 2)
    colours = _colours(found)
    span = _SPAN if found.windows > 2 * _SPAN else 1
    around = f", mean of the {span} around it" if span > 1 else ""
    panels = [
        (f"HR@10 per window, before learning it{around} (figures: mean)", False, "hr10"),
        ("NDCG@10", False, "ndcg10"),
        ("HR@10 on fresh items, younger than one window", True, "hr10"),
    ]
    for at, (words, fresh, metric) in enumerate(panels):
        axes = figure.add_subplot(grid[at // 2, at % 2])
        _curves(axes, found, colours, metric, span, fresh=fresh)
        axes.set_title(words, loc="left", fontsize=10.5)
        axes.set_xlabel("window")
        tidy(axes)
    _price(figure.add_subplot(grid[1, 1]), found, colours)
    figure.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=13, fontweight="bold")
    save(figure, path)


def _colours(found: Evaluation) -> dict[str, str]:
    strategies = [name for name in found.contenders if name not in _BASELINES]
    own = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(strategies)}
    return {**own, **_BASELINES}


def _curves(
    axes: Axes,
    found: Evaluation,
    colours: dict[str, str],
    metric: str,
    span: int,
    *,
    fresh: bool,
) -> None:
    ends = []
    for name, line in found.contenders.items():
        kept = [one for one in line.windows if (one.fresh if fresh else one.scores)]
        if not kept:
            continue
        values = [(one.fresh if fresh else one.scores)[metric] for one in kept]
        weights = [float(one.fresh_events if fresh else one.events) for one in kept]
        curve = smoothed(values, weights, span)
        baseline = name in _BASELINES
        numbers = [one.window for one in kept]
        axes.plot(numbers, curve, color=colours[name], linewidth=1.3 if baseline else 1.9)
        mean = (line.fresh if fresh else line.scores)[metric]
        ends.append(End(curve[-1], f"{name}  {mean:.3f}", colours[name], not baseline))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    name_ends(axes, ends)


def _price(axes: Axes, found: Evaluation, colours: dict[str, str]) -> None:
    """One point a strategy: processor seconds of all its learning, and what they brought."""
    strategies: dict[str, ContenderFigures] = {
        name: line for name, line in found.contenders.items() if line.tokens
    }
    for name, line in strategies.items():
        hr10 = line.scores.get("hr10", 0.0)
        axes.scatter(line.train_s, hr10, s=60, color=colours[name], zorder=3)
        axes.annotate(
            name,
            (line.train_s, hr10),
            xytext=(7, 4),
            textcoords="offset points",
            color=colours[name],
            fontsize=9,
        )
    seconds = [line.train_s for line in strategies.values()]
    if seconds and max(seconds) > _WIDE * min(seconds):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title("mean HR@10 by cost of learning", loc="left", fontsize=10.5)
    axes.set_xlabel("processor seconds")
    tidy(axes)
    axes.margins(x=0.2, y=0.15)
