"""The plot of an evaluation: quality per window, its cost, and quality by groups of events."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from everfresh.contracts.foreign import printable
from everfresh.evaluation.results import GroupScore
from everfresh.evaluation.summary import ContenderFigures, Evaluation
from everfresh.infra.cli.views.plot_style import (
    End,
    name_ends,
    new_figure,
    save,
    tidy,
    title_and_note,
)
from everfresh.infra.cli.views.scores import smoothed

_COLOURS = ("#2b6cb0", "#0b7a4b", "#c53030", "#6b46c1", "#00808a", "#b83280", "#4a5568")
_OPPONENTS = {"popularity": "#b7791f", "markov": "#8d6e63", "vmis-knn": "#b05a7a"}
_GROUPS = (
    ("by place of the event in what is known of its user", ("first", "second", "later")),
    ("by age of the item", ("fresh", "older")),
)
_SPAN = 5
"""Windows that a point is the mean of, where there are more than twice as many."""
_WIDE = 20
_LONGEST = 24
"""Characters of a contender's name."""


def draw(result: Evaluation, title: str, path: Path) -> None:
    """Write a PNG."""
    figure = new_figure(12, 11)
    grid = figure.add_gridspec(3, 2)
    colours = _colours(result)
    span = _SPAN if result.windows > 2 * _SPAN else 1
    panels = [
        ("HR@10: share of events with the item in the top ten", False, "hr10"),
        ("NDCG@10: also counts how high it stands", False, "ndcg10"),
        (
            f"HR@10 of {result.fresh_events:,} events on items new in the window before",
            True,
            "hr10",
        ),
    ]
    for at, (words, fresh, metric) in enumerate(panels):
        axes = figure.add_subplot(grid[at // 2, at % 2])
        _curves(axes, result, colours, metric, span, fresh=fresh)
        axes.set_title(f"{words}; higher is better", loc="left", fontsize=10.5)
        axes.set_xlabel("window")
        tidy(axes)
    _cost(figure.add_subplot(grid[1, 1]), result, colours)
    for at, (words, groups) in enumerate(_GROUPS):
        _bars(figure.add_subplot(grid[2, at]), result, colours, words, groups)
    around = f"A point is the mean of the {span} windows around it. " if span > 1 else ""
    note = f"{around}The figure after a name is its mean over all windows."
    title_and_note(figure, title, note)
    save(figure, path)


def _colours(result: Evaluation) -> dict[str, str]:
    strategies = [name for name in result.contenders if name not in _OPPONENTS]
    own = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(strategies)}
    return {**own, **_OPPONENTS}


def _curves(
    axes: Axes,
    result: Evaluation,
    colours: dict[str, str],
    metric: str,
    span: int,
    *,
    fresh: bool,
) -> None:
    ends = []
    for name, figures in result.contenders.items():
        kept = [window for window in figures.windows if (window.fresh if fresh else window.scores)]
        if not kept:
            continue
        values = [(window.fresh if fresh else window.scores)[metric] for window in kept]
        weights = [float(window.fresh_events if fresh else window.events) for window in kept]
        curve = smoothed(values, weights, span)
        opponent = name in _OPPONENTS
        numbers = [window.window for window in kept]
        axes.plot(numbers, curve, color=colours[name], linewidth=1.3 if opponent else 1.9)
        mean = (figures.fresh if fresh else figures.scores)[metric]
        ends.append(End(curve[-1], f"{_short(name)}  {mean:.3f}", colours[name], not opponent))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    name_ends(axes, ends)


def _bars(
    axes: Axes, result: Evaluation, colours: dict[str, str], words: str, groups: tuple[str, ...]
) -> None:
    """HR@10 of every contender in each group; the number of events below it."""
    width = 0.8 / max(1, len(result.contenders))
    sizes: dict[str, int] = {}
    for at, (name, figures) in enumerate(result.contenders.items()):
        scored = [figures.groups.get(group, GroupScore(0, {})) for group in groups]
        sizes |= {group: score.events for group, score in zip(groups, scored, strict=True)}
        hits = [score.scores.get("hr10", 0.0) for score in scored]
        places = [place + at * width for place in range(len(groups))]
        axes.bar(places, hits, 0.9 * width, color=colours[name], label=_short(name))
    centre = 0.4 - width / 2
    axes.set_xticks(
        [place + centre for place in range(len(groups))],
        [f"{group}\n{sizes.get(group, 0):,} events" for group in groups],
    )
    axes.set_title(f"HR@10 {words}; higher is better", loc="left", fontsize=10.5)
    axes.legend(fontsize=8, frameon=False, ncols=2)
    tidy(axes)


def _short(name: str) -> str:
    """Longer names than ours would leave no room for what they name."""
    shown = printable(name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _cost(axes: Axes, result: Evaluation, colours: dict[str, str]) -> None:
    """One point per strategy: processor seconds of all its training, and the mean HR@10."""
    strategies: dict[str, ContenderFigures] = {
        name: figures for name, figures in result.contenders.items() if figures.tokens
    }
    for name, figures in strategies.items():
        hr10 = figures.scores.get("hr10", 0.0)
        axes.scatter(figures.train_s, hr10, s=60, color=colours[name], zorder=3)
        axes.annotate(
            printable(name),
            (figures.train_s, hr10),
            xytext=(7, 4),
            textcoords="offset points",
            color=colours[name],
            fontsize=9,
        )
    seconds = [figures.train_s for figures in strategies.values()]
    if seconds and max(seconds) > _WIDE * min(seconds):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title("Quality and cost of training; up and left is better", loc="left", fontsize=10.5)
    axes.set_xlabel("processor seconds of all training")
    axes.set_ylabel("mean HR@10")
    tidy(axes)
    axes.margins(x=0.2, y=0.15)
